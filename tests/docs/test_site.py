"""The documents build into pages without a warning: their links, anchors, and the reference's modules."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'residual-inr[docs]'")
pytest.importorskip("mkdocstrings_handlers.python", reason="mkdocstrings is not installed")


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = {name: value for name, value in os.environ.items() if name != "RINR_REPOSITORY"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_the_documents_build_and_a_wrong_link_anchor_or_module_does_not(tmp_path: Path) -> None:
    """One build of all, then of copies with one page each spoilt."""
    site = tmp_path / "site"
    built = build(ROOT, site)
    assert built.returncode == 0, built.stderr
    reference = (site / "api" / "index.html").read_text()
    assert 'id="rinr.frames.working_frame"' in reference
    assert "Open an uploaded picture and make its working frame." in reference
    device = (site / "device" / "index.html").read_text()
    assert 'href="../../device/exercise.py"' in device
    for name, text, says in (
        ("outside", "[a](../no-such-file.py)", ("no-such-file.py",)),
        ("link", "[a](fleeet.md) and [b](labels.md#no-such-part)", ("fleeet.md", "no-such-part")),
        ("module", "::: rinr.no_such_module", ("no_such_module",)),
    ):
        folder = tmp_path / name
        (folder / "docs" / ".site").mkdir(parents=True)
        shutil.copy(ROOT / "docs" / ".site" / "links.py", folder / "docs" / ".site")
        (folder / "mkdocs.yml").write_text(_small())
        (folder / "docs" / "index.md").write_text(f"# Home\n\n{text}\n")
        (folder / "docs" / "labels.md").write_text("# Labels\n")
        spoilt = build(folder, folder / "site")
        assert spoilt.returncode != 0, name
        assert all(one in spoilt.stderr + spoilt.stdout for one in says)


def _small() -> str:
    """The site's own settings for two pages."""
    settings, _, _ = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n  - Home")
    return f"{settings}\nnav:\n  - Home: index.md\n  - Labels: labels.md\n"
