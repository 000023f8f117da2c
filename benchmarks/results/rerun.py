"""Runs the benchmarks again, one after another, and writes the documents from what they found.

    python -m benchmarks.results.rerun [--long] [--only NAME,NAME] [--list]

A benchmark's old record is set aside before it starts, so that an old number never stands as a new one: what fails, is
killed or cannot run leaves "not measured" with its reason, and the next one goes on. ``git checkout docs/records``
brings back what was committed. Benchmarks that take hours are left alone, with the date of their records, and run with
``--long``, alone. What they print is kept in ``.results/NAME.txt``.

Exit codes: 0 all ran; 1 some did not, each is named.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import records
from benchmarks.results.documents import ROOT, write
from benchmarks.results.parts import NEEDS_FRAMES, PARTS, Part

LOGS = ROOT / ".results"
_LIMIT = 6
"""A benchmark that takes so many times its minutes hangs."""

_LEAST_SECONDS = 1800.0


def main() -> None:
    options = _options()
    chosen = [part for part in PARTS if part.long == options.long]
    if options.only:
        chosen = [part for part in PARTS if part.record in options.only.split(",")]
        unknown = set(options.only.split(",")) - {part.record for part in chosen}
        if unknown:
            sys.exit(f"--only {','.join(sorted(unknown))}: expected some of {', '.join(p.record for p in PARTS)}")
    if options.list:
        for part in chosen:
            print(f"{part.record:20} about {part.minutes:4g} min  {part.command}")
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the benchmark that runs is ended as well
    try:
        failed = rerun(chosen)
    except KeyboardInterrupt:  # what was running has no record then, and the documents say so
        write(records.read_all())
        sys.exit(130)
    problems = write(records.read_all())
    for name, why in {**failed, **dict(enumerate(problems))}.items():
        print(f"{name}: {why}", file=sys.stderr)
    sys.exit(1 if failed or problems else 0)


def rerun(parts: Sequence[Part]) -> dict[str, str]:
    """Run the parts in order; why each that did not run has no record, by its name."""
    failed: dict[str, str] = {}
    minutes = sum(part.minutes for part in parts)
    print(f"{len(parts)} benchmarks, about {minutes:g} minutes on two quiet cores", flush=True)
    for number, part in enumerate(parts, start=1):
        left = sum(each.minutes for each in parts[number - 1 :])
        print(f"[{number}/{len(parts)}] {part.command}, about {part.minutes:g} of {left:g} min", flush=True)
        began = time.monotonic()
        why = _run(part)
        if why:
            failed[part.record] = why
            records.write_missing(part.record, part.command, why)
        print(f"    {why or 'done'}, {(time.monotonic() - began) / 60:.1f} min", flush=True)
    return failed


def _run(part: Part) -> str:
    """Why there is no new record, or nothing."""
    if part.real_frames and not os.environ.get("RINR_DATA"):
        return NEEDS_FRAMES
    records.write_missing(part.record, part.command, "its last run did not finish")
    LOGS.mkdir(exist_ok=True)
    log = LOGS / f"{part.record}.txt"
    limit = max(60 * part.minutes * _LIMIT, _LEAST_SECONDS)
    with log.open("w", encoding="utf-8") as out:
        command = [sys.executable, *part.command.split()[1:]]
        try:
            done = subprocess.run(command, cwd=ROOT, stdout=out, stderr=out, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return f"stopped after {limit / 60:g} minutes, see {log.relative_to(ROOT)}"
    if done.returncode:
        return _last_words(log) or f"ended with exit code {done.returncode}"
    found = records.read(part.record)
    return "it ended well and wrote no record" if found is None or found.not_measured else ""


def _last_words(log: Path) -> str:
    """The last line that a benchmark said, which is why it failed, without the places of this machine."""
    lines = [line.rpartition("\r")[2].strip() for line in log.read_text(encoding="utf-8").splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    return last.replace(f"{ROOT}/", "").replace(str(Path.home()), "~").replace("|", "/")[:200]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="those that take hours instead")
    parser.add_argument("--only", help="names of records, with commas between")
    parser.add_argument("--list", action="store_true", help="say what would be run, and how long it takes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
