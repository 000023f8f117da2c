"""``rinr clip``: what it finds, writes, goes on with and plays, and what it says of bad input."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from rinr.cli.clip import _line
from rinr.cli.encoding_job import DoneClip
from rinr.cli.main import app
from rinr.codec.clip import is_part, part_name
from rinr.codec.frame import unpack_frame
from rinr.decoder import decode
from rinr.weights import parts_of
from tests.conftest import jpeg, picture
from tests.rinr.standing import still

run = CliRunner()


def invoke(*words: object, code: int = 0):
    result = run.invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def told(*words: object, code: int = 0) -> dict:
    return json.loads(invoke(*words, "--json", code=code).stdout)


def camera(path: Path, pictures: dict[str, np.ndarray], **dates: str) -> Path:
    path.mkdir(parents=True)
    for name, pixels in pictures.items():
        (path / f"{name}.jpg").write_bytes(jpeg(pixels))
    images = [
        {"id": i, "file_name": f"{name}.jpg", "width": p.shape[1], "height": p.shape[0]}
        | ({"date_captured": dates[name]} if name in dates else {})
        for i, (name, p) in enumerate(pictures.items())
    ]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [18, 8 + i, 12, 12]} for i in range(len(images))]
    document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "square"}]}
    (path / "annotations.json").write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict]:
    """Eight frames of one scene, in the order of counting names; their payloads, and what was said of these."""
    place = tmp_path_factory.mktemp("made")
    folder = camera(place / "cam", {f"f{number}": still(0, number) for number in range(5, 13)})
    return folder, place / "out", told("clip", "encode", folder, "--out", place / "out")


@pytest.fixture
def folder(made: tuple[Path, Path, dict], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "cam"))


@pytest.fixture
def out(made: tuple[Path, Path, dict], tmp_path: Path) -> Path:
    """The frames' payloads."""
    return Path(shutil.copytree(made[1], tmp_path / "out"))


def times(path: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in path.iterdir() if file.suffix in (".rinr", ".rinrp")}


def test_frames_and_what_they_share_are_files_that_decode(
    made: tuple[Path, Path, dict], out: Path, tmp_path: Path
) -> None:
    said = made[2]
    (clip,) = said["clips"]
    (part,) = out.glob("*.rinrp")
    assert (clip["frames"], clip["first"], clip["last"]) == (8, "f5.rinr", "f12.rinr")
    assert is_part(part.read_bytes())
    assert part.stem == part_name(part.read_bytes()).hex() == clip["part"][:16]
    payloads = sorted(out.glob("*.rinr"))
    sizes = sum(file.stat().st_size for file in payloads)
    assert (clip["bytes_frames"], clip["bytes_part"]) == (sizes, part.stat().st_size)
    assert said["bytes_total"] == sizes + part.stat().st_size
    invoke("decode", out, "--out", tmp_path / "png")
    parts = parts_of([part.read_bytes()])
    for file in payloads:
        png = np.asarray(Image.open(tmp_path / "png" / f"{file.stem}.png"))
        assert np.array_equal(png, decode(unpack_frame(file.read_bytes()), parts=parts))


def test_the_same_again_is_nothing_new_and_what_is_lost_is_made_anew(folder: Path, out: Path) -> None:
    before = times(out)
    assert (told("clip", "encode", folder, "--out", out)["kept"], times(out)) == (8, before)
    assert told("encode", folder, "--out", out, "--preset", "clip")["kept"] == 8  # which is the same
    # A frame that was lost, and one that came later: earlier ones are not touched.
    (out / "f7.rinr").unlink()
    (folder / "f13.jpg").write_bytes(jpeg(still(0, 13)))
    said = told("clip", "encode", folder, "--out", out)
    assert (said["images"], said["kept"]) == (2, 7)
    assert {name: time for name, time in times(out).items() if name in before and name != "f7.rinr"} == {
        name: time for name, time in before.items() if name != "f7.rinr"
    }
    assert said["clips"][0]["part"] is not None  # of the same scene: they lie in what the others share
    assert len(list(out.glob("*.rinrp"))) == 1
    # Without what they share, frames cannot be decoded: they are encoded anew.
    (part,) = out.glob("*.rinrp")
    part.unlink()
    assert told("clip", "encode", folder, "--out", out)["images"] == 9


def test_cuts_leaps_of_time_and_other_sizes_begin_clips_and_a_broken_file_spoils_none(tmp_path: Path) -> None:
    pictures = {f"a{number}": still(0, number) for number in range(4)}
    pictures |= {f"b{number}": still(9, number) for number in range(4)}
    pictures |= {"c0": picture(3, 48, 64), "c1": picture(3, 48, 64)}
    folder = camera(tmp_path / "cam", pictures)
    (folder / "a9.jpg").write_bytes(b"no picture")
    said = told("clip", "preview", folder, "--strip", tmp_path / "strip.png", code=3)
    assert [(one["first"], one["last"], one["frames"]) for one in said["runs"]] == [
        ("a0.jpg", "a3.jpg", 4), ("b0.jpg", "b3.jpg", 4), ("c0.jpg", "c1.jpg", 2),
    ]  # fmt: skip
    assert said["refused"] == 1
    assert said["runs"][0]["begins"] == "the first frame"
    assert "cut" in said["runs"][1]["begins"]
    assert "48x64" in said["runs"][2]["begins"]
    assert said["runs"][0]["likeness"] > 0.8
    assert Image.open(tmp_path / "strip.png").width > 400
    assert "alone" in said["runs"][2]["verdict"]
    encoded = told("clip", "encode", folder, "--out", tmp_path / "out", code=3)
    assert (encoded["images"], encoded["refused"]) == (10, 1)
    assert "a9.jpg" in invoke("clip", "encode", folder, "--out", tmp_path / "out", code=3).output


def test_dates_order_frames_and_part_them(tmp_path: Path) -> None:
    pictures = {f"f{number}": still(0, number) for number in range(6)}
    dates = {f"f{number}": f"2026-05-01 12:00:{number:02}" for number in (0, 1, 2)}
    dates |= {f"f{number}": f"2026-05-01 11:00:{number:02}" for number in (3, 4, 5)}
    folder = camera(tmp_path / "cam", pictures, **dates)
    runs = told("clip", "preview", folder)["runs"]
    assert [(one["first"], one["last"]) for one in runs] == [("f3.jpg", "f5.jpg"), ("f0.jpg", "f2.jpg")]
    assert "s after the frame before" in runs[1]["begins"]
    parted = told("clip", "encode", folder, "--out", tmp_path / "parted")
    assert [one["frames"] for one in parted["clips"]] == [3, 3]
    given = told("clip", "encode", folder, "--out", tmp_path / "given", "--together")
    assert [(one["frames"], one["part"] is not None) for one in given["clips"]] == [(6, True)]


def test_a_window_of_frames_does_not_end_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rinr.cli.clip_preview.WINDOW", 3)
    (one,) = told("clip", "preview", folder)["runs"]
    assert (one["frames"], one["first"], one["last"]) == (8, "f5.jpg", "f12.jpg")


def test_what_the_frames_take_alone_is_measured(tmp_path: Path) -> None:
    folder = camera(tmp_path / "cam", {f"f{number}": still(0, number) for number in range(4)})
    said = told("clip", "encode", folder, "--out", tmp_path / "out", "--alone")
    single = told("encode", folder, "--out", tmp_path / "single", "--preset", "balanced")
    assert said["bytes_alone"] == said["clips"][0]["bytes_alone"] == single["bytes_total"]
    words = _line(DoneClip(4, "a/f0.rinr", "a/f3.rinr", "p", 900, 100, ("one of 4",), 25.0, None, 2000))
    assert words == (
        "f0 to f3, 4 frames: 1,000 bytes, 100 of them shared (0.50 of 2,000 one by one), background 25.00 dB, "
        "object –; one of 4"
    )


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_a_folder_is_played_beside_its_originals(folder: Path, out: Path, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"clip{suffix}"
    invoke("clip", "play", out, "--originals", folder, "--out", file, "--width", 200)
    with Image.open(io.BytesIO(file.read_bytes())) as moving:
        assert moving.n_frames == 8
    invoke("clip", "play", out, "--frames", 3, "--out", file)
    with Image.open(file) as moving:
        assert moving.n_frames == 3
    # What is missing is said, and the rest is played.
    (out / "f5.rinr").write_bytes(b"broken")
    assert "f5.rinr" in invoke("clip", "play", out, "--out", file, code=3).output
    for part in out.glob("*.rinrp"):
        part.unlink()
        assert f"copy {part.name} beside it" in invoke("clip", "play", out, "--out", file, code=1).output


def test_what_is_missing_or_damaged_is_named(out: Path, tmp_path: Path) -> None:
    (part,) = out.glob("*.rinrp")
    whole = part.read_bytes()
    part.write_bytes(whole[:-5] + b"other")
    said = invoke("decode", out, "--out", tmp_path / "png", code=3).output
    assert f"{part.name}, is damaged" in said
    assert said.count("refused") == 8
    part.unlink()
    assert f"copy {part.name} beside it" in invoke("decode", out, "--out", tmp_path / "png", code=3).output


def test_what_is_inside_names_the_shared_part_and_what_is_missing(out: Path) -> None:
    (part,) = out.glob("*.rinrp")
    said = invoke("inspect", out).output
    assert said.count(f"bytes are shared, in {part.name}") == 8
    assert "bytes that frames of a clip share, on a canvas of" in said
    inside = json.loads(invoke("inspect", part, "--json").stdout)
    assert sum(share["bytes"] for share in inside["shares"]) == inside["bytes"] == part.stat().st_size
    part.unlink()
    said = invoke("inspect", out / "f5.rinr").output
    assert f"copy {part.name} beside it" in said
    part.write_bytes(b"RS\1" + bytes(20))
    assert f"refused: {part}" in invoke("inspect", out, code=3).output


def test_wrong_usage_says_what_to_do(folder: Path, out: Path, tmp_path: Path) -> None:
    assert "makes no clips" in invoke("clip", "encode", folder, "--out", out, "--preset", "balanced", code=2).output
    assert "makes no clips" in invoke("clip", "preview", folder, "--preset", "balanced", code=2).output
    assert "no preset is named" in invoke("clip", "encode", folder, "--out", out, "--preset", "clap", code=2).output
    assert "no outcome" in invoke("encode", folder, "--out", out, "--preset", "clip", "--max-bytes", 9, code=2).output
    (tmp_path / "none").mkdir()
    assert "holds no .jpg" in invoke("clip", "preview", tmp_path / "none", code=2).output
    assert "holds no .rinr file" in invoke("clip", "play", tmp_path / "none", code=2).output
    assert ".webp" in invoke("clip", "play", out, "--out", "clip.mp4", code=2).output
    (tmp_path / "none" / "x.jpg").write_bytes(b"no picture")
    assert "can be read" in invoke("clip", "preview", tmp_path / "none", code=1).output
    assert told("clip", "encode", tmp_path / "none", "--out", out, code=3)["images"] == 0


def test_one_frame_and_the_same_frame_twice(tmp_path: Path) -> None:
    one = camera(tmp_path / "one", {"f0": still(0, 0)})
    assert told("clip", "encode", one, "--out", tmp_path / "a")["clips"][0]["part"] is None
    twice = camera(tmp_path / "twice", {f"f{number}": still(0, 0) for number in range(5)})
    said = told("clip", "encode", twice, "--out", tmp_path / "b")
    assert said["images"] == 5
    assert len(list((tmp_path / "b").glob("*.rinr"))) == 5


def test_two_cameras_share_nothing(tmp_path: Path) -> None:
    for name in ("north", "south"):
        camera(tmp_path / "cams" / name, {f"f{number}": still(0, number) for number in range(6)})
    said = told("clip", "encode", tmp_path / "cams", "--out", tmp_path / "out")
    assert [clip["frames"] for clip in said["clips"]] == [6, 6]
    assert len(list((tmp_path / "out" / "north").glob("*.rinrp"))) == 1
    assert len(list((tmp_path / "out" / "south").glob("*.rinrp"))) == 1
