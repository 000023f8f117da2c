"""Shares of frames, kept fits, the choice of a control, and the arithmetic of a run's figures."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.network import figures, paper, report
from benchmarks.network.control import Quality, cheapest, quality
from benchmarks.network.fits import Fits
from benchmarks.network.measured import Bytes, Crossed, Measured
from benchmarks.network.pictures import Captures, shared_out
from benchmarks.network.run import fewer, frames_of
from rinr.boxes import Annotation
from rinr.codec.encoded import EncodedImage
from rinr.encoder import encode
from rinr.folders import labelled_folders
from rinr.frames import Frame
from rinr.presets import Preset, find_preset
from tests.conftest import frame, jpeg, picture


class Here:
    """In place of a pool: encodes in this process, and counts."""

    jobs = 1

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, frames: list[Frame], preset: Preset) -> list[EncodedImage]:
        self.encoded += len(frames)
        return encode(frames, preset)


def sequence(folder: Path, count: int, first: int) -> None:
    folder.mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        (folder / f"{number:03}.jpg").write_bytes(jpeg(picture(first + number)))
        images.append({"id": number, "file_name": f"{number:03}.jpg", "width": 64, "height": 48})
        annotations.append({"id": number, "image_id": number, "category_id": 7, "bbox": [10 + number, 8, 12, 9]})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "boat"}]}
    (folder / "annotations.json").write_text(json.dumps(document))


def test_sequences_are_shared_out_to_devices(tmp_path: Path):
    sequence(tmp_path / "a", 5, 0)
    sequence(tmp_path / "b", 3, 100)
    shares = shared_out(labelled_folders(tmp_path), ["x", "y", "z"], 2)
    assert [one.device for one in shares] == ["x", "y", "z"]
    assert [list(one.pictures) for one in shares] == [
        ["a-000.jpg", "a-001.jpg"],
        ["a-002.jpg", "a-003.jpg"],
        ["b-000.jpg", "b-001.jpg"],
    ]
    assert shares[1].pictures["a-003.jpg"] == (tmp_path / "a" / "003.jpg").read_bytes()
    frames = frames_of(shares)
    assert [[(b.x, b.y, b.width, b.height, b.label) for b in one.boxes] for one in frames[2:4]] == [
        [(12, 8, 12, 9, "boat")],
        [(13, 8, 12, 9, "boat")],
    ]
    some = fewer(shares[0], 1)
    assert list(some.pictures) == ["a-000.jpg"]
    assert some.files["annotations.json"] == shares[0].files["annotations.json"]
    with pytest.raises(ValueError, match="8 frames for 9 devices"):
        shared_out(labelled_folders(tmp_path), list("123456789"), 1)


def test_fits_are_kept(tmp_path: Path):
    pool = Here()
    fits = Fits(tmp_path, pool)  # type: ignore[arg-type]
    frames = [frame(0), frame(1)]
    preset = find_preset("webp:10/4+60")
    first = fits.encode(frames[:1], preset)
    (plain,) = encode(frames[:1], preset)
    assert first == [replace(plain, fit_seconds=first[0].fit_seconds)]
    assert pool.encoded == 1
    again = fits.encode(frames, preset)
    assert again[:1] == first
    assert pool.encoded == 2
    assert fits.encode(frames, find_preset("webp:10/4+70"))[0].frame != first[0].frame


def test_the_cheapest_control_is_as_good_and_no_cheaper_one_is(tmp_path: Path):
    frames = [frame(0, width=96, height=64)]
    fits = Fits(tmp_path, Here())  # type: ignore[arg-type]
    asked = quality(encode(frames, find_preset("webp:20/2+62")))
    preset = cheapest(frames, asked, 10_000, fits, lambda text: None)
    assert preset is not None
    found = encode(frames, preset)
    size = sum(image.frame.bytes_total for image in found)
    assert quality(found).reaches(asked)
    assert size <= sum(image.frame.bytes_total for image in encode(frames, find_preset("webp:20/2+62")))
    assert cheapest(frames, Quality(99.0, 99.0), 10_000, fits, lambda text: None) is None


def test_quality_is_reached_in_both():
    assert Quality(30.0, 31.0).reaches(Quality(30.0, 31.0))
    assert not Quality(30.0, 30.9).reaches(Quality(30.0, 31.0))
    assert Quality(30.0, 30.9).reaches(Quality(30.0, 31.0), 0.2)
    assert Quality(30.0, None).reaches(Quality(29.0, None))
    assert not Quality(30.0, None).reaches(Quality(29.0, 1.0))


def measured(way: str, up: int, down: int, payload: int | None = None) -> Measured:
    files = Bytes(up - 100, down - 50)
    crossed = Crossed(Bytes(up, down), Bytes(3, 4), files, 90, 5, 20, 40, 7)
    return Measured(way, 10, 40_000, crossed, Bytes(up - 100, down - 51), 2.0, 3.0, payload)


def test_the_figures_of_a_way():
    direct = measured("jpeg_direct", 90_000, 50)
    values = report.of_way(measured("balanced", 9_000, 1_000, 2_000), direct)
    assert values["ratio"] == pytest.approx(90_050 / 10_000)
    assert values["ratio_files"] == pytest.approx(89_900 / 9_850)
    assert (values["bytes"], values["bytes_up"], values["bytes_down"], values["again"]) == (10_000, 9_000, 1_000, 7)
    assert values["disagreement"] == pytest.approx(1 / 949)
    assert values["seconds"] == 5
    assert values["frame_bytes"] == 200
    assert values["relative_size"] == pytest.approx(0.05)
    assert report.of_way(measured("siren", 9_000, 1_000), direct, part=0.5)["ratio"] == pytest.approx(4.5025)
    table = report.table({f"balanced.{key}": value for key, value in values.items()})
    assert "| `balanced` | 0.01 | 0.00 | 0.01 | 9.01x |" in table
    assert "| `siren` | not measured |" in table


def test_the_paper_s_shapes():
    box = Annotation(4, 4, 50, 30, "a")  # 1,500 pixels: 15x3
    (image,) = encode([frame(0, (box,))], find_preset("webp:10/4+60"))
    raw = paper.raw_bytes(image) - image.frame.bytes_overhead
    background = 2 * 28 + 28 + 8 * (28 * 28 + 28) + 28 * 3 + 3
    thing = 2 * 15 + 15 + 15 * 15 + 15 + 15 * 3 + 3
    assert raw == background + 2 * thing
    preset = paper.shapes_preset(50)
    assert preset.background.schedule.steps == 50  # type: ignore[union-attr]
    assert [str(each.network.shape) for each in preset.objects] == ["10x3", "15x3", "17x5", "24x5"]  # type: ignore[union-attr]


def test_figures_of_the_paper_beside_ours_say_what_was_not_measured():
    def verdict(name: str, **values: float) -> tuple[object, object]:
        found = figures.figures({key.replace("__", "."): value for key, value in values.items()}, 10)
        return found[f"paper_figures.{name}.ours"], found[f"paper_figures.{name}.verdict"]

    assert verdict("ten_devices") == (None, "not measured")
    assert verdict("ten_devices", paper__raw_ratio=5.2, paper__ratio=5.6)[1] == "reproduced"
    assert verdict("ten_devices", paper__raw_ratio=6.2, paper__ratio=6.6)[1] == "passed"
    missed = str(verdict("ten_devices", paper__raw_ratio=4.9, paper__ratio=5.0)[1])
    assert missed.startswith("not reproduced")
    coded = str(verdict("ten_devices", paper__raw_ratio=4.9, paper__ratio=5.3)[1])
    assert coded.endswith("passed once they are coded")
    assert verdict("devices_4", paper__raw_relative_size=0.5, balanced__relative_size=0.01) == (
        f"{3 / (1 + 3 * 0.5):.2f} with its shapes, {3 / (1 + 3 * 0.01):.2f} with `balanced`",
        "not reproduced with its shapes; passed",
    )
    assert figures.figures({"paper.raw_ratio": 5.2, "paper.ratio": 5.6}, 3)["paper_figures.ten_devices.ours"] is None
    assert "| not measured |" in figures.table(figures.figures({}, 10))


def test_labels_of_a_share_are_one_file():
    one = Captures("x", {"a.jpg": b"1", "annotations.json": b"{}"})
    assert one.pictures == {"a.jpg": b"1"}
