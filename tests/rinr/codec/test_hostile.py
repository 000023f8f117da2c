"""Hostile payloads: each decodes, or raises PayloadError and nothing else, in bounded time and memory.

A few hundred run with the tests; ``make drills`` runs 10,000 under a limit on the process's memory, and as many again
that atheris finds by coverage, where it is installed. By hand: ``python -m tests.rinr.codec.test_hostile 10000``.
"""

import collections
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rinr.boxes import Box
from rinr.codec.bytestream import PayloadError, varint
from rinr.codec.frame import MAX_FRAME_PIXELS, EncodedFrame, pack_frame, unpack_frame
from rinr.decoder import decode, load
from rinr.networks import payload, siren_coding
from rinr.networks.cosine_coding import CosineNetwork, Layout, waves_of, write
from rinr.networks.siren_coding import Shape, SirenNetwork

ROOT = Path(__file__).parents[3]
GOLDEN = {path.stem: path.read_bytes() for path in sorted((ROOT / "tests" / "golden").glob("*.rinr"))}

MOST_BYTES = 1 << 29
"""That a payload may take on top of the interpreter and its libraries: docs/format.md, "Limits"."""
MOST_SECONDS = 60
"""A generous bound, for machines that do other things as well; docs/format.md says what to expect."""
RENDERED_PIXELS = 1 << 18  # larger frames are only entropy decoded here; what they render to is tested by itself


def resealed(body: bytes) -> bytes:
    """With the checksum made right, so that the lie reaches the parsers."""
    return body + zlib.crc32(body).to_bytes(4, "little")


@st.composite
def flipped(draw: st.DrawFn) -> bytes:
    """A golden payload with bits flipped, bytes replaced, or its end gone."""
    data = bytearray(draw(st.sampled_from(list(GOLDEN.values()))))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data) - 1))
        data[place] = draw(st.one_of(st.integers(0, 7).map(lambda bit, at=place: data[at] ^ 1 << bit), _BYTE))
    return bytes(data[: draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))])


@st.composite
def spliced(draw: st.DrawFn) -> bytes:
    """The beginning of one golden payload and the end of another, and something between; sealed."""
    head, tail = (draw(st.sampled_from(list(GOLDEN.values())))[:-4] for _ in range(2))
    head, tail = head[: draw(st.integers(0, len(head)))], tail[draw(st.integers(0, len(tail))) :]
    return resealed(head + draw(st.binary(max_size=6)) + tail)


@st.composite
def mutated_inside(draw: st.DrawFn) -> bytes:
    """A golden payload, or one of the first version with its inner checksums right too, changed and sealed again."""
    name = draw(st.sampled_from(list(GOLDEN)))
    body = bytearray(GOLDEN[name][:-4])
    for _ in range(draw(st.integers(1, 3))):
        # Headers are short: half of the changes go to the first bytes, where sizes and shapes stand.
        place = draw(st.one_of(st.integers(0, min(40, len(body) - 1)), st.integers(0, len(body) - 1)))
        patch = draw(st.one_of(_BYTE.map(lambda byte: bytes([byte])), _LENGTH, st.binary(max_size=5)))
        body[place : place + draw(st.integers(0, len(patch) + 1))] = patch
        body = body or bytearray(1)
    return resealed(_inner_sealed(bytes(body)) if name.startswith("version1") else bytes(body))


@st.composite
def built(draw: st.DrawFn) -> bytes:
    """A well-formed container of any size and boxes, around groups that say anything."""
    width, height = draw(_SIDE), draw(_SIDE)
    if width * height > MAX_FRAME_PIXELS:
        height = MAX_FRAME_PIXELS // width
    boxes = []
    for _ in range(draw(st.integers(0, 6))):
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        wide, high = draw(st.integers(1, width - x)), draw(st.integers(1, height - y))
        boxes.append(Box(x, y, wide, high, draw(st.sampled_from("ab"))))
    many = draw(st.sampled_from([1, 1, 1, 50, 600]))
    boxes = sorted((boxes * many)[:4096])
    frame = EncodedFrame(width, height, draw(networks(1)), tuple(boxes), b"", draw(st.booleans()))
    body = pack_frame(frame)[:-4]
    return resealed(body + (draw(networks(len(boxes))) if boxes else b""))


@st.composite
def networks(draw: st.DrawFn, count: int) -> bytes:
    """Groups of networks with bodies of noise, or of golden payloads."""
    parts, left = [], count
    while left > 1 and draw(st.booleans()):
        bitmap = draw(st.binary(min_size=(left + 7) // 8, max_size=(left + 7) // 8))
        body = draw(_BODY)
        parts.append(bytes([draw(_CODE)]) + bitmap + draw(st.one_of(st.just(varint(len(body))), _LENGTH)) + body)
        left -= min(sum(byte.bit_count() for byte in bitmap), left - 1)
    return b"".join(parts) + bytes([draw(_CODE) | 128]) + draw(_BODY)


_BYTE = st.integers(0, 255)
_SIDE = st.one_of(st.integers(1, 64), st.integers(1, 700), st.sampled_from([1, 2, 4095, 4096]))
_LENGTH = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([2**31, 2**32 - 1, 2**16])).map(varint)
_CODE = st.one_of(st.integers(0, 6), st.sampled_from([2, 3, 3, 3, 127]))
_HEADS = st.tuples(st.integers(0, 255), *[_BYTE] * 3).map(bytes)  # of cosine and siren bodies
_BODY = st.one_of(
    st.binary(max_size=40),
    st.tuples(_HEADS, st.sampled_from([b"", b"\0" * 9, b"\xff" * 30, bytes(range(200))])).map(b"".join),
    st.tuples(st.integers(2, 16).map(lambda bits: bytes([bits])), st.binary(min_size=8, max_size=60)).map(b"".join),
    st.sampled_from([unpack_frame(data).background[1:] for data in GOLDEN.values()]),
)
HOSTILE = st.one_of(flipped(), spliced(), mutated_inside(), mutated_inside(), built(), built(), st.binary(max_size=64))


def _inner_sealed(body: bytes) -> bytes:
    """A payload of the first version with the checksums of its networks made right, as far as they can be found."""
    out, at = body, 0
    while (at := out.find(b"\xa1\x01", at)) > 1:
        length = out[at - 2] & 127 | out[at - 1] << 7 if out[at - 2] & 128 else out[at - 1]
        end = at + length
        if 4 <= length <= len(out) - at:
            out = out[: end - 2] + (zlib.crc32(out[at : end - 2]) & 0xFFFF).to_bytes(2, "little") + out[end:]
        at += 2
    return out


def outcome(data: bytes) -> str:
    """Decode as far as is sensible here; what came of it, or an error that is none of ours."""
    started = time.monotonic()
    try:
        frame = unpack_frame(data)
        if frame.width * frame.height <= RENDERED_PIXELS:
            pixels = decode(frame)
            assert pixels.shape == (frame.height, frame.width, 3)
        else:
            load([frame])
        result = "decoded"
    except PayloadError as error:
        result, message = "refused", str(error)
    else:
        message = "all: well"
    where, _, says = message.partition(": ")
    assert where, f"{message!r} does not say what payload"
    assert says, f"{message!r} does not say which field"
    seconds = time.monotonic() - started
    assert seconds < MOST_SECONDS, f"{seconds:.0f} s for {len(data)} bytes"
    return result


@settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(HOSTILE)
def test_hostile_payloads_decode_or_are_refused_by_name(data):
    outcome(data)


# What is largest within the limits, in few bytes: rendered whole, in bounded memory (see the drill).


def frame_of(size: tuple[int, int], boxes: tuple[Box, ...], background: bytes, objects: bytes = b"") -> bytes:
    return pack_frame(EncodedFrame(*size, background, boxes, objects))


def cosine_head() -> bytes:
    return bytes([255, 0, 31, 18])


@cache
def zeros(sizes: tuple[tuple[int, int], ...], tile: int, waves: int = 32) -> bytes:
    """A body of all weights that there can be, zero but for the last: what decodes longest."""
    layout, networks = Layout(120, tile, 3, None, False), []
    for size in sizes:
        down, across = layout.tiling(size)
        coarse = np.zeros((3, down, across), np.int32)
        networks.append(CosineNetwork(size, layout, (0, 0, 0), coarse, np.zeros((*coarse.shape, 1, 1), np.int32)))
    largest = max(range(len(sizes)), key=lambda n: sum(waves_of(sizes[n], layout, waves)))
    fine = np.zeros((*networks[largest].coarse.shape, *waves_of(sizes[largest], layout, waves)), np.int32)
    fine[-1, -1, -1, -1, -1] = 1
    networks[largest] = replace(networks[largest], fine=fine)
    return write(networks)


def siren_body(width: int, layers: int) -> bytes:
    """One network of zeros."""
    shape = Shape(width, layers)
    return siren_coding.write([SirenNetwork(shape, 8, (160,) * layers, np.zeros(shape.parameters, np.int32))])


NONE, COSINE, SIREN = b"\x80", b"\x83", b"\x82"
LINES = tuple(Box(0, y, 4096, 1, "a") for y in range(1024))
TOWERS = tuple(Box(x, 0, 1, 1024, "a") for x in range(4096))
DOTS = tuple(sorted(Box(n % 640, n // 640, 1, 1, "a") for n in range(4096)))
WHOLE = (4096, 1024)
LARGEST = {
    "all weights": lambda: frame_of(WHOLE, (), COSINE + zeros((WHOLE,), 0)),
    "one wave": lambda: frame_of(WHOLE, (), COSINE + zeros((WHOLE,), 0, waves=2)),
    "large tiles": lambda: frame_of(WHOLE, (), COSINE + zeros((WHOLE,), 9, waves=16)),
    "a column": lambda: frame_of((1, 4096), (), COSINE + zeros(((1, 4096),), 0)),
    "four times all weights": lambda: frame_of(WHOLE, (whole_box(WHOLE),) * 4, NONE, in_groups(zeros((WHOLE,), 5), 4)),
    "four times covered": lambda: frame_of(
        WHOLE, (whole_box(WHOLE),) * 4, COSINE + zeros((WHOLE,), 5), COSINE + zeros((WHOLE,) * 4, 9, waves=16)
    ),
    "lines": lambda: frame_of(WHOLE, LINES, NONE, COSINE + zeros(((4096, 1),) * 1024, 0)),
    "towers": lambda: frame_of(WHOLE, TOWERS, NONE, COSINE + zeros(((1, 1024),) * 4096, 2)),
    "dots": lambda: frame_of((640, 640), DOTS, COSINE + zeros(((640, 640),), 0), COSINE + zeros(((1, 1),) * 4096, 0)),
    "whole frames": lambda: frame_of(
        (640, 640), (whole_box((640, 640)),) * 40, NONE, COSINE + zeros(((640, 640),) * 40, 15, waves=8)
    ),
    "4,096 whole frames": lambda: frame_of((640, 640), (whole_box((640, 640)),) * 4096, NONE, COSINE + cosine_head()),
    "none of 4,096": lambda: frame_of((640, 640), (whole_box((640, 640)),) * 4096, NONE, NONE),
    "siren": lambda: frame_of(WHOLE, (), SIREN + siren_body(36, 10)),
    "wide siren": lambda: frame_of((640, 640), (), SIREN + siren_body(255, 4)),
    "wider siren": lambda: frame_of((640, 640), (), SIREN + siren_body(255, 8)),
    "widest siren": lambda: frame_of((640, 640), (), SIREN + siren_body(255, 32)),
    "groups": lambda: frame_of((640, 640), DOTS, NONE, in_groups(zeros(((1, 1),), 0), 63) + b"\x80"),
    "too many groups": lambda: frame_of((640, 640), DOTS, NONE, in_groups(zeros(((1, 1),), 0), 4096)),
    "long boxes": lambda: frame_of((640, 640), DOTS, NONE, NONE),
}


def whole_box(size: tuple[int, int]) -> Box:
    return Box(0, 0, *size, "a")


def in_groups(body: bytes, count: int) -> bytes:
    """A group of its own for each of so many networks, among the 4,096 of ``DOTS`` or so many."""
    left = count if count < 63 else 4096
    ends = [b"\x03\x01" + bytes((left - n - 1) // 8) + varint(len(body)) + body for n in range(count - (count != 63))]
    return b"".join(ends) + (COSINE + body if count != 63 else b"")


@pytest.mark.parametrize("name", ["a column", "dots", "none of 4,096", "groups", "too many groups", "long boxes"])
def test_the_largest_that_few_bytes_can_ask_for(name):
    outcome(LARGEST[name]())


def test_4096_boxes_take_no_square_of_the_time():
    started = time.monotonic()
    unpack_frame(LARGEST["long boxes"]())
    assert time.monotonic() - started < 10


def test_regions_and_multiplications_are_bounded():
    with pytest.raises(PayloadError, match="regions of"):
        decode(unpack_frame(LARGEST["4,096 whole frames"]()))
    with pytest.raises(PayloadError, match="more than 64 groups"):
        decode(unpack_frame(LARGEST["too many groups"]()))
    assert payload.MAX_REGION_PIXELS == 4 * MAX_FRAME_PIXELS


# The drill: in a process of its own, whose memory is limited.


def limit_memory() -> int:
    """Allow so many bytes on top of what is mapped now."""
    mapped = memory("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MOST_BYTES, mapped + MOST_BYTES))
    return memory("VmRSS")


def memory(field: str) -> int:
    """Bytes, as the kernel counts them: ``VmHWM`` is the largest ``VmRSS`` so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def run_examples(count: int) -> None:
    """Decode so many hostile payloads; print what came of them as JSON."""
    torch.set_num_threads(1)
    for data in GOLDEN.values():
        outcome(data)  # tables and libraries are loaded once, and are not a payload's doing
    resident = limit_memory()
    counts: collections.Counter[str] = collections.Counter()
    slowest: dict[str, float] = {}

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(HOSTILE)
    def examine(data: bytes) -> None:
        started = time.monotonic()
        counts[outcome(data)] += 1
        slowest["mutated"] = max(slowest.get("mutated", 0), round(time.monotonic() - started, 2))

    examine()
    peak = memory("VmHWM") - resident
    print(json.dumps({**counts, "slowest_s": slowest["mutated"], "peak_mb": peak >> 20}))


def run_file(path: str) -> None:
    """Decode and render one payload; print what it took as JSON."""
    torch.set_num_threads(1)
    for data in GOLDEN.values():
        outcome(data)
    data = Path(path).read_bytes()
    resident, started = limit_memory(), time.monotonic()
    try:
        decode(unpack_frame(data))
        result = "decoded"
    except PayloadError as error:
        result = f"refused: {error}"
    seconds = round(time.monotonic() - started, 2)
    peak = memory("VmHWM") - resident
    print(json.dumps({"outcome": result, "seconds": seconds, "peak_mb": max(peak, 0) >> 20}))


def run_atheris(count: int) -> None:
    """As many payloads that atheris finds by which lines they reach. Does not return."""
    import atheris

    from rinr.codec import bytestream, frame, version1
    from rinr.networks import cosine_coding, siren1, siren_coding

    for module in (bytestream, frame, version1, payload, cosine_coding, siren1, siren_coding):
        for value in list(vars(module).values()):
            if getattr(value, "__module__", None) == module.__name__ and callable(value) and hasattr(value, "__code__"):
                atheris.instrument_func(value)
    torch.set_num_threads(1)
    corpus = Path(sys.argv[3])
    for name, data in GOLDEN.items():
        (corpus / name).write_bytes(data[:-4])
    atheris.Setup(
        [sys.argv[0], f"-runs={count}", "-max_len=4096", f"-timeout={MOST_SECONDS}", "-rss_limit_mb=3000", str(corpus)],
        lambda data: outcome(resealed(data)) and None,
    )
    atheris.Fuzz()


def child(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.rinr.codec.test_hostile", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)


@pytest.mark.drill
def test_ten_thousand_hostile_payloads():
    done = child("10000")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    print(counts)
    assert counts["decoded"] + counts["refused"] >= 10_000
    assert min(counts["decoded"], counts["refused"]) > 500


@pytest.mark.drill
@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_payloads_stay_within_the_stated_memory(name, tmp_path):
    (tmp_path / "payload.rinr").write_bytes(LARGEST[name]())
    done = child("file", str(tmp_path / "payload.rinr"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    print(name, done.stdout.splitlines()[-1])
    assert json.loads(done.stdout.splitlines()[-1])["seconds"] < MOST_SECONDS


@pytest.mark.drill
@pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="atheris has no wheel for this machine")
def test_ten_thousand_payloads_that_atheris_finds(tmp_path):
    done = child("atheris", "10000", str(tmp_path))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "Done 10000 runs" in done.stdout + done.stderr


if __name__ == "__main__":
    if sys.argv[1] == "file":
        run_file(sys.argv[2])
    elif sys.argv[1] == "atheris":
        run_atheris(int(sys.argv[2]))
    else:
        run_examples(int(sys.argv[1]))
