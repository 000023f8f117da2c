"""Golden payloads: what the codec decodes, what another reader of docs/format.md decodes, and what they always were."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rinr.codec.bytestream import PayloadError
from rinr.codec.clip import pack_part, unpack_part
from rinr.codec.frame import pack_frame, unpack_frame
from rinr.decoder import decode
from rinr.networks.families import FAMILIES
from rinr.weights import parts_of
from tests import independent_reader

FOLDER = Path(__file__).parents[2] / "golden"
CLIPS = [FOLDER / "clip-1", FOLDER / "clip-2"]
GOLDEN = [*sorted(FOLDER.glob("*.rinr")), *(folder / "frame.rinr" for folder in CLIPS)]
PARTS = [(folder / "part.rinrp").read_bytes() for folder in CLIPS]
FORMAT = Path(__file__).parents[3] / "docs" / "format.md"


KNOWN = [path for path in GOLDEN if not path.stem.endswith("jpeg") or any(f.code == 4 for f in FAMILIES)]


@pytest.mark.parametrize("path", KNOWN, ids=lambda path: path.stem)
def test_a_golden_payload_decodes_to_the_picture_it_always_did(path):
    expected = np.asarray(Image.open(path.with_suffix(".png"))).astype(int)
    decoded = decode(unpack_frame(path.read_bytes()), parts=parts_of(PARTS)).astype(int)
    assert np.abs(decoded - expected).max() <= 1


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_reader_that_shares_no_code_sees_the_same_picture(path):
    expected = np.asarray(Image.open(path.with_suffix(".png"))).astype(int)
    read = independent_reader.read_picture(path.read_bytes(), PARTS).astype(int)
    assert np.abs(read - expected).max() <= 1


def test_the_other_reader_imports_nothing_of_ours():
    tree = ast.parse(Path(independent_reader.__file__).read_text())
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert not names & {"rinr", "torch", "constriction", "tests"}


@pytest.mark.parametrize("path", [path for path in GOLDEN if "version1" not in path.stem], ids=lambda path: path.stem)
def test_a_golden_payload_has_one_spelling(path):
    assert pack_frame(unpack_frame(path.read_bytes())) == path.read_bytes()


def test_what_golden_payloads_are_there_for():
    frames = {path.stem: unpack_frame(path.read_bytes()) for path in GOLDEN if path.stem != "frame"}
    clips = [unpack_frame((folder / "frame.rinr").read_bytes()).clip for folder in CLIPS]
    assert len(frames["version2-objects"].boxes) == 5
    assert frames["version2-pasted"].pasted
    assert all(all(clip.zoom) and all(clip.shift) for clip in clips)
    assert clips[1].time
    assert all(len(path.read_bytes()) < 4_096 for path in GOLDEN)


def test_the_bytes_that_the_document_takes_apart_are_those_of_the_golden_payload():
    dump = re.search(r"<!-- version2-tiny -->\n```\n(.*?)```", FORMAT.read_text(), re.S)
    assert dump
    rows = [re.match(r"[0-9a-f]{2}  ((?:[0-9a-f]{2} )+) ", line) for line in dump[1].splitlines()]
    written = b"".join(bytes.fromhex(row[1]) for row in rows if row)
    assert written == (FOLDER / "version2-tiny.rinr").read_bytes()


def test_damage_of_a_shared_part_is_noticed():
    for data in PARTS:
        assert pack_part(unpack_part(data)) == data
        for position in range(0, len(data), 7):
            damaged = bytearray(data)
            damaged[position] ^= 1 << position % 8
            with pytest.raises(PayloadError):
                unpack_part(bytes(damaged))


def test_damage_is_noticed():
    for path in GOLDEN:
        data = path.read_bytes()
        for position in range(0, len(data), 7):
            damaged = bytearray(data)
            damaged[position] ^= 1 << position % 8
            with pytest.raises(PayloadError):
                unpack_frame(bytes(damaged))
