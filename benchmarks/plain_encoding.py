"""One process of the control of :mod:`benchmarks.dask_scaling`: reads landed pictures and encodes them, and no more.

    python -m benchmarks.plain_encoding STORE PRESET NUMBER OF

Says ``ready`` when all is imported and warm, waits for a line, and says in JSON how long it took.
"""

import json
import sys
import time

import torch

from rinr.encoder import encode
from rinr.presets import encoding_id, find_preset
from storage.ingestion import read_frame
from storage.store import Store

_AT_ONCE = 16


def main() -> None:
    url, name, number, of = sys.argv[1:]
    torch.set_num_threads(1)
    preset = find_preset(name)
    mine = Store(url).missing(encoding_id(preset))[int(number) :: int(of)]
    encode([read_frame(mine[0], url, {})], find_preset("instant"))
    print("ready", flush=True)
    sys.stdin.readline()
    wall = cpu = 0.0
    for start in range(0, len(mine), _AT_ONCE):
        frames = [read_frame(pending, url, {}) for pending in mine[start : start + _AT_ONCE]]
        began, used = time.perf_counter(), time.process_time()
        encode(frames, preset)
        wall += time.perf_counter() - began
        cpu += time.process_time() - used
    print(json.dumps({"encode": wall, "encode_cpu": cpu}), flush=True)


if __name__ == "__main__":
    main()
