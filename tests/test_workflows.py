"""The workflows are what they say: valid, without secrets, and a tag that is not the version is refused."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rinr.version import __version__

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(file.read_text())
    document["on"] = document.pop(True)  # YAML 1.1 takes the word for a truth value
    return document


RELEASE = read(ROOT / ".github" / "workflows" / "release.yml")


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_is_whole(file: Path) -> None:
    document = read(file)
    assert document["permissions"] == {"contents": "read"}, "jobs that need more say so themselves"
    assert "secrets." not in file.read_text()
    for name, job in document["jobs"].items():
        if "uses" in job:
            assert (ROOT / job["uses"]).is_file()
            continue
        assert job["runs-on"]
        assert set(job.get("needs", "").split()) <= set(document["jobs"])
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step), f"{name}: {step}"
            assert "@" in step.get("uses", "@"), "an action is named with its version"
            if "run" in step:
                subprocess.run(["bash", "-n", "-c", step["run"]], check=True)
            for script in (word for word in step.get("run", "").split() if word.endswith("/run")):
                assert (ROOT / script).is_file()


def test_a_release_is_tested_before_it_is_built_and_built_before_it_is_published() -> None:
    assert RELEASE["on"] == {"push": {"tags": ["v*"]}}
    needs = {name: job.get("needs") for name, job in RELEASE["jobs"].items()}
    assert needs == {"tests": None, "build": "tests", "attach": "build", "publish": "build"}
    assert RELEASE["jobs"]["publish"]["permissions"] == {"id-token": "write"}, "a trusted publisher needs no token"


@pytest.mark.parametrize(
    ("tag", "code", "said"),
    [(f"v{__version__}", 0, ""), ("v99.0.0", 1, f"tag v{__version__}"), (__version__, 1, f"tag v{__version__}")],
)
def test_a_tag_has_to_be_the_version(tag: str, code: int, said: str) -> None:
    (script,) = [step["run"] for step in RELEASE["jobs"]["build"]["steps"] if "GITHUB_REF_NAME" in step.get("run", "")]
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=ROOT,
        env={**os.environ, "GITHUB_REF_NAME": tag},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr
