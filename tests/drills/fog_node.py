"""The fog node's side of a drill: a process that does what each line says, and answers each with a line of JSON.

`round` is ingest, encode and deliver, `deliver` is that alone. The answer says which runs of devices were started.
"""

import json
import sys

from flows.deliver import deliver
from flows.encode import encode
from flows.ingest import ingest

ANSWER = "answer: "
PRESET = "instant"


def main(fleet: str, store: str) -> None:
    for line in sys.stdin:
        rows = 0
        if line.strip() == "round":
            ingest(fleet, store)
            rows = encode(fleet, store, PRESET)
        runs = deliver(fleet, store, PRESET, epochs=1)
        print(ANSWER + json.dumps({"rows": rows, "runs": {run.device: run.flow_run_id for run in runs}}), flush=True)


if __name__ == "__main__":  # Dask's workers import this file
    main(*sys.argv[1:])
