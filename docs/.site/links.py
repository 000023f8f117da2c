"""Links of the documents that leave ``docs/``, or lead to a folder: on the built pages they name what is in the
repository, at its address where ``RINR_REPOSITORY`` gives one, and in the checkout around ``site/`` otherwise.

A link to what is not there fails the build, as one among the documents does.
"""

import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_MARK = "https://checkout.invalid/"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Called by mkdocs for each page before its links are looked at: marks those that leave the documents."""
    documents = Path(config["docs_dir"]).resolve()

    def marked(found: re.Match[str]) -> str:
        target = ((documents / page.file.src_path).parent / found[1]).resolve()
        if target.is_relative_to(documents) and not target.is_dir():
            return found[0]
        if not target.exists():
            raise FileNotFoundError(f"{page.file.src_path}: {found[1]} is not there")
        return f"{_MARK}{target.relative_to(documents.parent).as_posix()}{found[2] or ''}"

    parts = _FENCE.split(markdown)  # every other one is a block of code
    return "".join(part if number % 2 else _LINK.sub(marked, part) for number, part in enumerate(parts))


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Called by mkdocs for each page when it is HTML."""
    repository = config["repo_url"]
    base = f"{repository.rstrip('/')}/blob/HEAD/" if repository else "../" * (page.url.count("/") + 1)
    return html.replace(_MARK, base)
