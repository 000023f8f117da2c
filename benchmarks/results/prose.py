"""What of `docs/results.md` is repeated on the page: what was missed, and its few kinds of markup as HTML."""

import re
from dataclasses import dataclass
from html import escape

_BOLD = re.compile(r"\*\*(.+?)\*\*")
_MISSED = re.compile(r"\bmiss(es|ed)?\b|\bworse on\b", re.IGNORECASE)
"""In bold words alone: where prose stresses it."""

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_RULE = re.compile(r"^(\||!\[|```|#)")


@dataclass(frozen=True)
class Miss:
    """Something that did not work.

    Attributes:
        section: the heading it stands under.
        html: the paragraph.
    """

    section: str
    html: str


def misses(document: str) -> list[Miss]:
    """Paragraphs and list items of a document that speak of a miss, in order; tables are left out."""
    found, section = [], ""
    for block in _blocks(_COMMENT.sub("", document)):
        if block.startswith("#"):
            section = block.lstrip("# ")
        elif not _RULE.match(block) and any(map(_MISSED.search, _BOLD.findall(block))):
            found.append(Miss(section, inline(block)))
    return found


def inline(text: str) -> str:
    """Code, bold words and links of Markdown as HTML; of links to pictures and to other places only the words stay."""
    codes: list[str] = []

    def kept(match: re.Match[str]) -> str:
        codes.append(f"<code>{match[1]}</code>")
        return f"\0{len(codes) - 1}\0"

    text = re.sub(r"`([^`]*)`", kept, escape(text, quote=False))
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    text = re.sub(r"(?<![\w*])\*([^*]+)\*(?![\w*])", r"<em>\1</em>", text)
    return re.sub(r"\0(\d+)\0", lambda match: codes[int(match[1])], text)


def _blocks(text: str) -> list[str]:
    """Headings, paragraphs and list items, each in one line."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        starts = line.startswith(("- ", "#", "|"))
        if starts or not line.strip():
            blocks.append([])
        if line.strip():
            blocks[-1].append(line.removeprefix("- ").strip())
    return [" ".join(lines) for lines in blocks if lines]
