"""Writes README.md's numbers, docs/results.md and docs/results.html from the records in docs/records.

    python -m benchmarks.results [--check]

Nothing is measured: ``make results`` does that. Exit codes: 0 all written; 1 a marker names a value that no record has,
or, with ``--check``, a document would change.
"""

import argparse
import sys

from benchmarks import records
from benchmarks.results.documents import ROOT, documents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, say what would change")
    options = parser.parse_args()
    made = documents(records.read_all())
    changed = [path for path, text in made.texts.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in changed:
        if not options.check:
            path.write_text(made.texts[path], encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {'differs from the records' if options.check else 'written'}")
    for problem in made.problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if made.problems or (changed and options.check) else 0)


if __name__ == "__main__":
    main()
