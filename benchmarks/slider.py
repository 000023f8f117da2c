"""Pictures to lay over each other: some frames as captured, as ours, and as codecs make of as many bytes.

    python -m benchmarks.slider [FOLDER ...] [--preset balanced] [--record]

One frame a folder, of the sample where nothing else is said: what is written is published, so it must be free. Beside
ours stand the codec control of as many bytes or up to a twentieth more that comes nearest to ours, or beats it, in
background *and* object PSNR, of the grid of `benchmarks/controls.py`; and the best JPEG of at most our bytes. Pictures
are written as WebP of high quality, which adds no error that could be seen, beside the record.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks import records
from benchmarks.controls import Grid, Sent, grid_of
from benchmarks.frames import find_folders, read
from rinr.codec.encoded import EncodedImage
from rinr.controls import describe, jpeg_of_size
from rinr.decoder import decode
from rinr.encoder import encode
from rinr.frames import Frame
from rinr.metrics import frame_psnr
from rinr.presets import find_preset

SAMPLE = Path(__file__).parent.parent / "sample"
MORE = 1.05
"""What a control may take of our bytes, so that there is one in the grid."""

QUALITY = 88
SIDES = ("original", "ours", "control", "jpeg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: the sample")
    parser.add_argument("--preset", default="balanced", help="of ours (default balanced)")
    records.add_option(parser, "slider")
    options = parser.parse_args()
    torch.set_num_threads(1)
    values: dict[str, records.Value] = {}
    pictures: dict[str, bytes] = {}
    for folder in find_folders(options.folders or sorted(path for path in SAMPLE.iterdir() if path.is_dir())):
        ((frame, _),) = read(folder, 1)
        (ours,) = encode([frame], find_preset(options.preset))
        found, drawn = _compared(frame, ours)
        name = records.name_part(folder.name)
        values |= {f"{name}.name": folder.name} | {f"{name}.{key}": value for key, value in found.items()}
        pictures |= {f"{name}-{side}.webp": _webp(pixels) for side, pixels in drawn.items()}
        print(folder.name, found, flush=True)
    if options.record:
        place = records.folder() / "slider"
        place.mkdir(parents=True, exist_ok=True)
        for file, data in pictures.items():
            (place / file).write_bytes(data)
        records.write("slider", records.command("benchmarks.slider"), values, {"preset": options.preset})


def _compared(frame: Frame, ours: EncodedImage) -> tuple[dict[str, records.Value], dict[str, np.ndarray]]:
    sent = Sent("ours", [ours])
    grid = grid_of([frame], [sent])
    control = grid.presets[_nearest(grid, sent)]
    (theirs,) = encode([frame], control)
    jpeg = jpeg_of_size(frame, ours.frame.bytes_total)
    jpeg_db = frame_psnr(frame.pixels, jpeg.pixels, frame.boxes)
    values: dict[str, records.Value] = {"control.words": describe(control), "jpeg.words": jpeg.name}
    for side, image in (("ours", ours), ("control", theirs)):
        values |= {f"{side}.bytes": image.frame.bytes_total, f"{side}.background_db": image.background_db}
        values[f"{side}.object_db"] = image.object_db
    values |= {"jpeg.bytes": jpeg.bytes_total, "jpeg.background_db": jpeg_db[0], "jpeg.object_db": jpeg_db[1]}
    decoded = (frame.pixels, decode(ours.frame), decode(theirs.frame), jpeg.pixels)
    return values, dict(zip(SIDES, decoded, strict=True))


def _nearest(grid: Grid, ours: Sent) -> int:
    """The control whose worse difference to ours, of both PSNRs, is the best, at our bytes or a little more."""
    differences = np.minimum(
        grid.background_db[:, 0] - ours.background_db[0],
        np.nan_to_num(grid.object_db[:, 0] - ours.object_db[0], nan=np.inf),
    )
    sizes = grid.sizes[:, 0]
    allowed = (sizes >= ours.sizes[0]) & (sizes <= MORE * ours.sizes[0])
    if not allowed.any():
        allowed = sizes == sizes[sizes >= ours.sizes[0]].min()
    return int(np.where(allowed, differences, -np.inf).argmax())


def _webp(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=QUALITY, method=6)
    return file.getvalue()


if __name__ == "__main__":
    main()
