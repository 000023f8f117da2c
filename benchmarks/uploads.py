"""What uploads that were shrunk at the device cost and save: codec by codec, beside uploads as they were captured.

    python -m benchmarks.uploads [FOLDER ...] [--frames 1] [--record]

Every frame is fitted with `balanced` from the capture and from every upload made of it, and all are measured against
the working frame of the capture. Total traffic of n = 9 receivers, of D bytes captured, u D uploaded and a D of
networks sent to each: 9 D / (u D + 9 a D).
"""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import records
from benchmarks.frames import find_folders
from device.shrinking import shrunk_picture
from rinr.decoder import decode
from rinr.encoder import encode
from rinr.folders import LabelledFolder, spread
from rinr.frames import Frame, ImageError, open_picture, working_frame
from rinr.labels import ImageLabels
from rinr.metrics import frame_psnr, mean_db
from rinr.presets import BALANCED

RECEIVERS = 9
CAPTURED = "captured"
UPLOADS = (
    *(f"webp-{quality}" for quality in (60, 80, 90, 95)),
    *(f"avif-{quality}" for quality in (40, 50, 60, 70, 80, 90)),
    *(f"jpeg-{quality}" for quality in (75, 90)),
)


@dataclass(frozen=True)
class Measured:
    """One frame, uploaded in one way.

    Attributes:
        captured: bytes of the captured file.
        uploaded: bytes of the upload.
        networks: bytes of the payload, boxes and labels included.
        background: PSNR against the capture's working frame, in dB; ``None`` where there is none.
        object: likewise.
    """

    captured: int
    uploaded: int
    networks: int
    background: float | None
    object: float | None


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    found: dict[str, dict[str, list[Measured]]] = {}
    for folder in find_folders(options.folders):
        for file in spread(folder.files, options.frames):
            try:
                for name, measured in measure(folder, file):
                    found.setdefault(folder.name, {}).setdefault(name, []).append(measured)
            except ImageError as error:
                print(f"{file.name}: {error}", flush=True)
        print(f"{folder.name}: measured", flush=True)
    values = figures(found)
    if options.record:
        settings = {"frames": options.frames, "preset": BALANCED.name, "receivers": RECEIVERS}
        records.write("uploads", records.command("benchmarks.uploads"), values, settings)
    print(table(values))


def measure(folder: LabelledFolder, file: Path) -> Iterator[tuple[str, Measured]]:
    """A frame in every way of uploading it, by name."""
    data = file.read_bytes()
    labels = folder.labels.get(file.relative_to(folder.path).as_posix())
    reference = working_frame(data, labels)
    for name in (CAPTURED, *UPLOADS):
        uploaded = data if name == CAPTURED else smaller(data, name)
        yield name, _fitted(reference, working_frame(uploaded, _annotated(labels, data)), data, uploaded)


def smaller(data: bytes, name: str) -> bytes:
    """The upload of a capture, or the capture itself where that is smaller, as a device does it."""
    codec, quality = name.split("-")
    made = shrunk_picture(open_picture(data), codec, int(quality))
    return made if len(made) < len(data) else data


def figures(found: Mapping[str, Mapping[str, Sequence[Measured]]]) -> dict[str, float | None]:
    """By way of uploading and of all folders: shares of the captured bytes, PSNR, its change, and the ratio.

    Shares and ratios are geometric means over folders of the sums of their frames; PSNR is the mean over folders.
    """
    values: dict[str, float | None] = {"folders": len(found)}
    for group, folders in {"all": list(found), **{name: [name] for name in found}}.items():
        for name in (CAPTURED, *UPLOADS):
            rows = [found[folder][name] for folder in folders if name in found[folder]]
            if rows:
                at = f"{records.name_part(group)}.{name}"
                values |= {f"{at}.{key}": value for key, value in _summary(rows).items()}
        base = f"{records.name_part(group)}.{CAPTURED}"
        for name in UPLOADS:
            at = f"{records.name_part(group)}.{name}"
            for kind in ("background", "object"):
                values[f"{at}.{kind}-change"] = _less(values.get(f"{at}.{kind}"), values.get(f"{base}.{kind}"))
    return values


def table(values: Mapping[str, float | int | str | None]) -> str:
    """The figures of all folders as Markdown."""
    lines = [
        f"| upload | bytes up, of the capture | networks, of it | object | background | ratio, {RECEIVERS} receivers |",
        "|---|---|---|---|---|---|",
    ]
    for name in (CAPTURED, *UPLOADS):
        up, networks, ratio, at, below = (
            _number(values.get(f"all.{name}.{key}"))
            for key in ("uploaded", "networks", "ratio", "object", "background")
        )
        if up is None or networks is None or ratio is None:
            continue
        changes = [_number(values.get(f"all.{name}.{kind}-change")) for kind in ("object", "background")]
        told = [_decibels(value, change) for value, change in zip((at, below), changes, strict=True)]
        lines.append(f"| {name} | {100 * up:.1f} % | {100 * networks:.1f} % | {told[0]} | {told[1]} | {ratio:.2f}x |")
    return "\n".join(lines)


def _fitted(reference: Frame, frame: Frame, captured: bytes, uploaded: bytes) -> Measured:
    (image,) = encode([frame], BALANCED)
    decoded = decode(image.frame)
    background, object_ = frame_psnr(reference.pixels, decoded, reference.boxes)
    return Measured(len(captured), len(uploaded), image.frame.bytes_total, background, object_)


def _annotated(labels: ImageLabels | None, data: bytes) -> ImageLabels | None:
    """Labels that say their size, so that they follow a picture that was shrunk."""
    if labels is None or labels.size is not None:
        return labels
    return ImageLabels(labels.file_name, open_picture(data).size, labels.captured_at, labels.boxes)


def _summary(folders: Sequence[Sequence[Measured]]) -> dict[str, float | None]:
    sums = [
        tuple(sum(getattr(one, kind) for one in rows) for kind in ("captured", "uploaded", "networks"))
        for rows in folders
    ]
    return {
        "uploaded": _geometric([up / captured for captured, up, _ in sums]),
        "networks": _geometric([networks / captured for captured, _, networks in sums]),
        "ratio": _geometric([RECEIVERS * captured / (up + RECEIVERS * n) for captured, up, n in sums]),
        "object": mean_db(mean_db(one.object for one in rows) for rows in folders),
        "background": mean_db(mean_db(one.background for one in rows) for rows in folders),
    }


def _geometric(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _number(value: float | int | str | None) -> float | None:
    return float(value) if isinstance(value, float | int) else None


def _decibels(value: float | None, change: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f} dB" + (f" ({change:+.2f})" if change is not None else "")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA, or the sample")
    parser.add_argument("--frames", type=int, default=1, help="of each folder, evenly spread (default 1)")
    records.add_option(parser, "uploads")
    return parser.parse_args()


if __name__ == "__main__":
    main()
