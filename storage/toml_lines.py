"""Where things stand in a TOML file: the line of a table, of a key in it, and of a key in a table within that.

``tomllib`` gives values without their lines. This goes over the text once more, with bounds on what it takes to
parse: it follows strings, comments, headers, inline tables and arrays, and leaves finding faults to ``tomllib``.
"""

import json
import re
from dataclasses import dataclass, field

MAX_DEPTH = 10
"""Of arrays and inline tables within each other, and of the parts of a dotted key."""

MAX_ENTRIES = 150_000
"""Keys, tables, and items of arrays in all."""

Path = tuple[str | int, ...]
"""Keys, and indices of tables in an array of tables and of items of an array: ``("device", 0, "storage")``."""

_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|\n"
    r"|[\[\]{}=.,]"
    r"|[^\s\[\]{}=.,\"'#]+"
    r"|[\"']",
    re.DOTALL,
)


class NestingError(ValueError):
    """Deeper or fuller than anything that means well; the message names the line."""


@dataclass
class TomlLines:
    """Lines by path, counted from 1."""

    lines: dict[Path, int] = field(default_factory=dict)
    tables: dict[Path, int] = field(default_factory=dict)

    def add(self, path: Path, line: int) -> None:
        """Note where a path stands first."""
        self.lines.setdefault(path, line)
        if len(self.lines) > MAX_ENTRIES:
            raise NestingError(f"line {line}: more than {MAX_ENTRIES:,} keys, tables and items")

    def line_of(self, path: Path) -> int | None:
        """The line of a path, or of the nearest thing around it that has one."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return None


def toml_lines(text: str) -> TomlLines:
    """Go over a TOML file.

    What is no TOML ends the search early, without an error.

    Raises:
        NestingError: deeper than ``MAX_DEPTH``, or more keys and items than ``MAX_ENTRIES``.
    """
    found = TomlLines()
    scan = _Scan(text)
    header: Path = ()
    while scan.token:
        if scan.token == "\n" or scan.token.startswith("#"):
            scan.step()
        elif scan.token == "[":
            header = _header(scan, found)
            scan.skip_line()
        else:
            if not _pair(scan, header, found, 0):
                return found
            scan.skip_line()
    return found


class _Scan:
    """The tokens one after another, with the line in which each begins."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.finditer(text)
        self._next_line = 1
        self.token = ""
        self.line = 1
        self.step()

    def step(self) -> None:
        match = next(self._tokens, None)
        self.token = match.group() if match else ""
        self.line = self._next_line
        self._next_line += self.token.count("\n")

    def skip_line(self) -> None:
        while self.token and self.token != "\n":
            self.step()

    def skip_blank(self) -> None:
        while self.token == "\n" or self.token.startswith("#"):
            self.step()


def _header(scan: _Scan, found: TomlLines) -> Path:
    line = scan.line
    scan.step()
    of_array = scan.token == "["
    if of_array:
        scan.step()
    path: Path = ()
    parts = _key(scan)
    for number, part in enumerate(parts, start=1):
        path = (*path, part)
        last = number == len(parts)
        if path in found.tables:  # an array of tables: its last table is meant, or a new one begins
            if last and of_array:
                found.tables[path] += 1
            path = (*path, found.tables[path])
        elif last and of_array:
            found.tables[path] = 0
            path = (*path, 0)
    found.add(path, line)
    return path


def _pair(scan: _Scan, prefix: Path, found: TomlLines, depth: int) -> bool:
    line = scan.line
    path = (*prefix, *_key(scan))
    for end in range(len(prefix) + 1, len(path) + 1):
        found.add(path[:end], line)
    if scan.token != "=":
        return False
    scan.step()
    return _value(scan, path, found, depth)


def _value(scan: _Scan, path: Path, found: TomlLines, depth: int) -> bool:
    opening = scan.token
    if opening not in ("[", "{"):
        while scan.token and scan.token not in ("\n", ",", "]", "}") and not scan.token.startswith("#"):
            scan.step()  # several tokens: a number with a dot
        return True
    if depth >= MAX_DEPTH:
        raise NestingError(f"line {scan.line}: more than {MAX_DEPTH} levels of nesting")
    scan.step()
    index = 0
    while True:
        scan.skip_blank()
        if not scan.token:
            return False
        if scan.token in ("]", "}"):
            scan.step()
            return True
        if scan.token == ",":
            scan.step()
            continue
        if opening == "[":
            found.add((*path, index), scan.line)
            taken = _value(scan, (*path, index), found, depth + 1)
        else:
            taken = _pair(scan, path, found, depth + 1)
        if not taken:
            return False
        index += 1


def _key(scan: _Scan) -> tuple[str, ...]:
    parts: list[str] = []
    while scan.token and scan.token not in ("=", "]", "[", "\n", "{", "}", ","):
        if scan.token != ".":
            parts.append(_plain(scan.token))
            if len(parts) > MAX_DEPTH:
                raise NestingError(f"line {scan.line}: a key of more than {MAX_DEPTH} parts")
        scan.step()
    return tuple(parts)


def _plain(token: str) -> str:
    if token[0] == '"':
        try:
            return str(json.loads(token))
        except ValueError:
            return token
    return token[1:-1] if token[0] == "'" and len(token) > 1 else token
