"""Links of the documents that leave ``docs/``: on the built pages they name the file in the repository instead.

A link to a file that is not there fails the build, as one within the documents does.
"""

import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]*)((?:#[^)]*)?\))")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Called by mkdocs for each page."""
    documents = Path(config["docs_dir"]).resolve()

    def outside(found: re.Match[str]) -> str:
        target = ((documents / page.file.src_path).parent / found[2]).resolve()
        if target.is_relative_to(documents):
            return found[0]
        if not target.exists():
            raise FileNotFoundError(f"{page.file.src_path}: {found[2]} is not there")
        return f"]({config['repo_url'].rstrip('/')}/blob/HEAD/{target.relative_to(documents.parent).as_posix()}{found[3]}"

    return _LINK.sub(outside, markdown)
