"""What of the machine and its Python ``rinr doctor`` looks at: versions, torch and its devices, cores, disks."""

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from rinr.cli.doctor_findings import Finding, ok, problem, warning
from rinr.version import CODEC_VERSION, __version__

PACKAGE = "residual-inr"
EXTRAS = {
    "fog": "a fog node: flows, workers, the weight store",
    "train": "a device: training on decoded frames",
    "s3": "devices whose storage is on S3",
    "sftp": "devices whose storage is reached by SFTP",
    "http": "devices whose storage is reached by HTTP",
}
"""What each extra is for; those that are for developers are not looked at."""

LITTLE, TOO_LITTLE = 2_000_000_000, 200_000_000
"""Free bytes of a disk below which there is a warning, and a problem."""

LEAST_PYTHON = (3, 11)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")
_NVIDIA = Path("/proc/driver/nvidia/version")


def look_at_python() -> Iterator[Finding]:
    """The versions of Python and of this program."""
    said = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        yield problem("Python", said, f"install Python {least} or newer, and rinr into a venv of it")
    else:
        yield ok("Python", said)
    yield ok("rinr", f"{__version__}, codec {CODEC_VERSION}, at {Path(__file__).resolve().parents[2]}")


def look_at_torch() -> Iterator[Finding]:
    """torch, the accelerators that it can use, each tried with a product, and the cores."""
    import torch

    yield ok("torch", torch.__version__)
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            yield _accelerator(number)
    elif torch.version.cuda is not None:
        told = f"torch is built for CUDA {torch.version.cuda}, and sees no GPU"
        yield warning(
            "accelerator", told, "fits and training run on the CPU; for a GPU, see that `nvidia-smi` shows it"
        )
    elif _NVIDIA.exists():
        told = "there is an NVIDIA driver, and torch is built without CUDA"
        yield warning("accelerator", told, "install torch anew, without constraints.txt: pip install --upgrade torch")
    else:
        yield ok("accelerator", "none: fits and training run on the CPU")
    yield _cores(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def look_at_packages(
    installed: Mapping[str, str] | None = None, needs: Sequence[str] | None = None
) -> Iterator[Finding]:
    """Which extras are installed, and versions that are known not to work together.

    Args:
        installed: version by lower-case name; of this Python where it is not given.
        needs: requirement lines of this program; those of its installed metadata where they are not given.
    """
    have = _installed() if installed is None else installed
    if needs is None:
        try:
            needs = metadata.requires(PACKAGE) or ()
        except metadata.PackageNotFoundError:
            yield warning(
                "packages", f"{PACKAGE} runs without being installed", "pip install it, or its folder with -e"
            )
            needs = ()
    packages = {extra: [line for line in needs if _EXTRA.findall(line) == [extra]] for extra in EXTRAS}
    for extra, lines in packages.items():
        others = {_name(line) for other, theirs in packages.items() if other != extra for line in theirs}
        if lines:
            yield _extra(extra, lines, others, have)
    yield from _known_bad(have)


def look_at_disks(places: Mapping[str, Path]) -> Iterator[Finding]:
    """Free space where something will be written, and whether it can be.

    Args:
        places: folders by what they are for; of one that is not there yet, the nearest above it that is.
    """
    for purpose, folder in ({"temporary files": Path(tempfile.gettempdir())} | dict(places)).items():
        there = next((each for each in (folder.absolute(), *folder.absolute().parents) if each.exists()), Path("/"))
        subject = f"disk for {purpose}"
        if not there.is_dir():
            yield problem(subject, f"{there} is no folder", "name another one")
            continue
        free = shutil.disk_usage(there).free
        said = f"{free / 1e9:,.1f} GB free at {there}"
        if not os.access(there, os.W_OK | os.X_OK):
            yield problem(subject, f"{there} cannot be written by you", f"chown it to you, or name another {purpose}")
        elif free < TOO_LITTLE:
            yield problem(subject, said, "make room, or name a folder on another disk")
        elif free < LITTLE:
            yield warning(subject, said, f"make room: below {LITTLE / 1e9:g} GB a run may not fit")
        else:
            yield ok(subject, said)


def _accelerator(number: int) -> Finding:
    import torch

    name = f"cuda:{number}"
    seen = torch.cuda.get_device_properties(number)
    said = f"{name} {seen.name}, capability {seen.major}.{seen.minor}, {seen.total_memory / 1e9:,.0f} GB"
    try:
        one = torch.ones(64, 64, device=name)
        if float((one @ one).sum()) != 64.0**3:
            return problem("accelerator", f"{said}: a product came out wrong", "reboot it, and do not use it till then")
    except RuntimeError as error:
        reason = str(error).splitlines()[0][:200]
        return problem("accelerator", f"{said}: {reason}", f"update its driver, or install a torch made for {said}")
    return ok("accelerator", said)


def _cores(cores: int) -> Finding:
    import torch

    said = f"{cores}, torch uses {torch.get_num_threads()}"
    if "OMP_NUM_THREADS" in os.environ:
        said += f" (OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS'][:20]})"
    if torch.get_num_threads() > cores:
        return warning("cores", said, f"export OMP_NUM_THREADS={cores}: threads without a core wait for each other")
    return ok("cores", said)


def _extra(extra: str, lines: Sequence[str], others: Collection[str], have: Mapping[str, str]) -> Finding:
    """Of an extra whose own packages are missing, only what others need as well may be there by chance."""
    subject, install = f"extra {extra}", f"pip install '{PACKAGE}[{extra}]'"
    names = [_name(line) for line in lines]
    missing = [name for name in names if name not in have]
    if missing and all(name in missing for name in names if name not in others):
        return ok(subject, f"not installed; for {EXTRAS[extra]}: {install}")
    if missing:
        return problem(subject, f"only in part: {', '.join(missing)} missing; it is for {EXTRAS[extra]}", install)
    wrong = [f"{line.split(';')[0].strip()} ({have[_name(line)]} here)" for line in lines if not _satisfied(line, have)]
    if wrong:
        return problem(subject, f"of other versions than needed: {', '.join(wrong)}", f"{install} --upgrade")
    return ok(subject, ", ".join(f"{name} {have[name]}" for name in names))


def _satisfied(line: str, have: Mapping[str, str]) -> bool:
    try:
        from packaging.requirements import Requirement
    except ModuleNotFoundError:
        return True  # no extra is installed that would bring it
    requirement = Requirement(line)
    return requirement.specifier.contains(have[_name(line)], prereleases=True)


def _known_bad(have: Mapping[str, str]) -> Iterator[Finding]:
    prefect = _numbers(have.get("prefect", ""))
    if prefect[:2] != (3, 8):
        return
    for name, least, why in (
        ("fastapi", (0, 151), "its server does not start"),
        ("sqlalchemy", (2, 1), "its schedules make no runs"),
    ):
        if _numbers(have.get(name, "")) >= least:
            told = f"with {name} {have[name]}, of prefect {have['prefect']} {why}"
            yield problem(f"package {name}", told, f"pip install '{name}<{'.'.join(map(str, least))}'")


def _installed() -> dict[str, str]:
    return {_key(each.name): each.version for each in metadata.distributions() if each.name}


def _name(line: str) -> str:
    """The name that a requirement line begins with."""
    found = _NAME.match(line)
    return _key(found.group()) if found else ""


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])
