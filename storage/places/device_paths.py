"""Paths as devices name them: which may be read, and how they are spelled in messages and tables."""

import unicodedata

MAX_PATH = 1_000
MAX_SPELLING = 300

_UNSAFE_CATEGORIES = {
    "Cc",
    "Cs",
    "Zl",
    "Zp",
}  # control characters, lone surrogates, line and paragraph separators


def path_fault(path: str) -> str | None:
    """Why a path is none that may be read from a device, in words; ``None`` where it may."""
    if len(path) > MAX_PATH:
        return f"its name has {len(path):,} characters; at most {MAX_PATH:,} are taken"
    if any(unicodedata.category(character) in _UNSAFE_CATEGORIES for character in path):
        return "its name holds control characters (such as a newline) or is not UTF-8"
    if path.startswith("/"):
        return "its name is an absolute path; expected one relative to the device's storage"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "its name holds an empty part, `.` or `..`; expected a plain path within the device's storage"
    return None


def safe_spelling(path: str, longest: int = MAX_SPELLING) -> str:
    """A path, or another text, fit for messages and tables: unprintable characters escaped, at most so long."""
    # Cut first: one character may become ten.
    start = path[:longest]
    spelled = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in start)
    if len(path) <= longest and len(spelled) <= longest:
        return spelled
    return spelled[: longest - 1] + "…"
