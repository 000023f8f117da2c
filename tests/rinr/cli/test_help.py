"""Every command says what it does with an example that it understands; the shell is told the values of options."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from rinr.cli.examples import EXAMPLES
from rinr.cli.main import app
from rinr.presets import PRESETS
from rinr.version import __version__

COMMAND: Any = get_command(app)


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(words), command
        return
    for name, each in below.items():
        yield from leaves(each, (*words, name))


LEAVES = dict(leaves(COMMAND))


def test_every_command_has_examples_and_every_example_a_command() -> None:
    assert set(EXAMPLES) == set(LEAVES)


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_its_help_shows_examples_that_parse(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("RINR_STORE", "RINR_FLEET", "RINR_HOME", "RINR_KEYS"):
        monkeypatch.delenv(variable, raising=False)
    said = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert said.exit_code == 0, said.output
    assert (LEAVES[name].help or "").strip(), "it says what it does"
    for line in EXAMPLES[name]:
        assert line in said.output
        words = shlex.split(line)
        assert words[: 1 + len(name.split())] == ["rinr", *name.split()]
        context = LEAVES[name].make_context(name, words[1 + len(name.split()) :])  # fails on what it does not know
        assert context.params


def test_an_example_that_does_not_parse_is_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        LEAVES["encode"].make_context("encode", ["frames", "--no-such-option"])


@pytest.mark.parametrize(
    ("line", "proposed"),
    [
        ("rinr encode frames --preset ", [preset.name for preset in PRESETS]),
        ("rinr demo --preset sma", ["small"]),
        ("rinr bench frames --device c", ["cpu", "cuda"]),
        ("rinr fleet init --labels ", ["coco", "yolo", "voc"]),
        ("rinr up --devices a", ["all"]),
        ("rinr device shrink a b --codec w", ["webp"]),
        ("rinr do", ["doctor", "down"]),
        ("rinr clip e", ["encode"]),
    ],
)
def test_the_shell_is_told_what_may_follow(line: str, proposed: list[str]) -> None:
    words = line.split(" ")
    environment = {"_RINR_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    said = CliRunner().invoke(app, [], env=environment, prog_name="rinr")
    assert said.stdout.split() == proposed


def test_the_completion_of_a_shell_is_shown_by_the_program_itself() -> None:
    code = "import sys; sys.argv[0] = 'rinr'; from rinr.cli.main import app; app(prog_name='rinr')"
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    said = subprocess.run(
        [sys.executable, "-c", code, "--show-completion", "bash"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "complete -o default -F _rinr_completion rinr" in said.stdout


def test_the_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"rinr {__version__}\n"
