"""Payload files with what clips share beside them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rinr.codec.bytestream import PayloadError
from rinr.codec.clip import part_id, part_name
from rinr.codec.encoded import EncodedClip
from rinr.codec.frame import unpack_frame
from rinr.decoder import decode
from rinr.payload_folder import INDEX, PayloadFolder, part_file, parts_beside
from rinr.weights import parts_of
from tests.rinr.test_backgrounds import PART, frames
from tests.storage.examples import encoded_image

FILES = ["a/0.rinr", "a/1.rinr", "b/2.rinr", "b/3.rinr"]


@pytest.fixture(scope="module")
def clip() -> EncodedClip:
    """Four images of a clip, made by hand."""
    shared = {"part_id": part_id(PART), "bytes_shared": len(PART) / 4, "clip": "one of 4 frames"}
    moved = [frame for frame in frames() if frame.clip and frame.clip.part == part_name(PART)]
    return EncodedClip(
        tuple(encoded_image(number, frame=moved[number % len(moved)], **shared) for number in range(4)), PART
    )


def key(clip: EncodedClip, number: int) -> tuple[str, str, str]:
    image = clip.images[number]
    return image.image_id, image.labels_id, image.encoding_id


def test_what_a_clip_shares_lies_beside_each_of_its_files(clip: EncodedClip, tmp_path: Path) -> None:
    PayloadFolder(tmp_path).put_clip(FILES, clip)
    name = part_file(part_name(clip.part))
    assert name == f"{part_name(clip.part).hex()}.rinrp"
    for folder in ("a", "b"):
        assert (tmp_path / folder / name).read_bytes() == clip.part
    again = PayloadFolder(tmp_path)
    for number, file in enumerate(FILES):
        assert again.holds(file, key(clip, number))
        assert again.part_of(file) == clip.part
        frame = unpack_frame((tmp_path / file).read_bytes())
        decoded = decode(frame, parts=parts_beside(tmp_path / file, frame))
        assert np.array_equal(decoded, decode(clip.images[number].frame, parts=parts_of([clip.part])))
    lines = [json.loads(line) for line in (tmp_path / INDEX).read_text().splitlines()]
    assert {line["part_id"] for line in lines} == {clip.images[0].part_id}
    assert sum(line["bytes_shared"] for line in lines) == pytest.approx(len(clip.part))
    assert all(line["clip"] for line in lines)


@pytest.mark.parametrize("harm", ["gone", "damaged", "too large"])
def test_frames_whose_shared_part_is_gone_or_damaged_are_not_held(clip: EncodedClip, tmp_path: Path, harm: str) -> None:
    PayloadFolder(tmp_path).put_clip(FILES, clip)
    part = tmp_path / "a" / part_file(part_name(clip.part))
    if harm == "gone":
        part.unlink()
    else:
        part.write_bytes(clip.part[:-1] + b"!" if harm == "damaged" else bytes(5 << 20))
    again = PayloadFolder(tmp_path)
    held = [again.holds(file, key(clip, number)) for number, file in enumerate(FILES)]
    assert held == [False, False, True, True]
    assert again.part_of(FILES[0]) is None
    frame = unpack_frame((tmp_path / FILES[0]).read_bytes())
    with pytest.raises(PayloadError, match=part.name):
        parts_beside(tmp_path / FILES[0], frame)


def test_a_frame_alone_needs_nothing_and_lines_of_earlier_versions_count(clip: EncodedClip, tmp_path: Path) -> None:
    image = replace(clip.images[0], frame=replace(clip.images[0].frame, clip=None), part_id=None, bytes_shared=0.0)
    PayloadFolder(tmp_path).put("0.rinr", image)
    index = tmp_path / INDEX
    line = json.loads(index.read_text())
    index.write_text(json.dumps({name: line[name] for name in line if name not in ("part_id", "bytes_shared", "clip")}))
    again = PayloadFolder(tmp_path)
    assert again.holds("0.rinr", (image.image_id, image.labels_id, image.encoding_id))
    assert again.part_of("0.rinr") is None
    assert parts_beside(tmp_path / "0.rinr", image.frame) == {}


@pytest.mark.parametrize("said", ["zz", "", 5, ["x"], "../../etc/passwd", "ab" * 40])
def test_a_line_that_names_no_part_is_no_way_out_of_the_folder(clip: EncodedClip, tmp_path: Path, said: object) -> None:
    PayloadFolder(tmp_path).put_clip(FILES, clip)
    index = tmp_path / INDEX
    lines = [json.loads(line) | {"part_id": said} for line in index.read_text().splitlines()]
    index.write_text("".join(json.dumps(line) + "\n" for line in lines))
    again = PayloadFolder(tmp_path)
    assert not again.holds(FILES[0], key(clip, 0))
    assert again.part_of(FILES[0]) is None
