"""``rinr decode``: pictures from a weight store or from payload files, one PNG a source."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow.compute as pc
import typer
from PIL import Image

from rinr.accelerator import torch_device
from rinr.cli.console import SOME_REFUSED, device_name, fail, note, out, progress_bar, safe_stem
from rinr.cli.store_access import open_store
from rinr.codec.bytestream import PayloadError
from rinr.codec.frame import MAX_PAYLOAD_BYTES, EncodedFrame, unpack_frame
from rinr.decoder import decode as decode_frame
from rinr.files import write_whole
from rinr.payload_folder import parts_beside
from rinr.shard import frames_of
from rinr.weights import Parts, parts_of

if TYPE_CHECKING:
    from storage.store import Store


def decode(
    payloads: Annotated[list[Path] | None, typer.Argument(help="Payload files (.rinr), or folders of them.")] = None,
    store: Annotated[str | None, typer.Option(help="URL or folder of the weight store to read.")] = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Where the PNGs go.")] = Path("decoded"),
    encoding: Annotated[str | None, typer.Option(help="Encoding id; the newest of each image without it.")] = None,
    device: Annotated[str, typer.Option(help="Where to decode: auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a sentence.")] = False,
) -> None:
    """Decode to PNGs: DIR/<stem>.png, or DIR/<device>/<stem>.png where there are several devices.

    A stem is kept where it matches [A-Za-z0-9._-]{1,100} and stands once, and is the image id otherwise. Frames of a
    clip need the file with what they share (.rinrp) in their payload's folder.

    Exit codes: 0 all done; 1 failed; 2 wrong usage; 3 done, but some payloads were refused.
    """
    if (store is None) == (not payloads):
        raise fail("give either payload files or --store URL", code=2)
    try:
        place = torch_device(device)
    except ValueError as error:
        raise fail(str(error), code=2) from None
    if store is not None:
        done, refused = _from_store(open_store(store), out_dir, encoding, place)
    else:
        done, refused = _from_files(payloads or [], out_dir, place)
    if as_json:
        print(json.dumps({"pictures": done, "refused": refused}))
    else:
        out.print(f"{done} pictures in {out_dir}")
    if refused:
        raise typer.Exit(SOME_REFUSED)


def _from_files(payloads: Sequence[Path], out_dir: Path, device: str) -> tuple[int, int]:
    """Each file to the PNG of its own name; below a given folder its sub-folders are kept."""
    work: list[tuple[Path, Path]] = []
    for given in payloads:
        if given.is_dir():
            work += [(f, out_dir / f.relative_to(given).with_suffix(".png")) for f in sorted(given.rglob("*.rinr"))]
        elif given.exists():
            work.append((given, out_dir / f"{given.stem}.png"))
        else:
            raise fail(f"{given} does not exist; give .rinr files or folders of them", code=2)
    refused = 0
    with progress_bar(f"decoding {len(work)} payloads") as tell:
        for index, (source, target) in enumerate(work):
            try:
                if source.stat().st_size > MAX_PAYLOAD_BYTES:
                    raise PayloadError(f"frame payload: more than {MAX_PAYLOAD_BYTES:,} bytes")
                frame = unpack_frame(source.read_bytes())
                _write(frame, target, device, parts_beside(source, frame))
            except PayloadError as error:
                note(f"refused: {source}: {error}")
                refused += 1
            tell(index + 1, len(work))
    return len(work) - refused, refused


def _from_store(store: "Store", out_dir: Path, encoding: str | None, device: str) -> tuple[int, int]:
    """Every source's newest picture; returns how many were written and refused."""
    from storage.store import StoreError
    from storage.tables import IMAGES, SOURCES

    try:
        places = _targets(store.scan(SOURCES, ["image_id", "device", "path"]).to_pylist(), out_dir)
        where = None if encoding is None else pc.field("encoding_id") == encoding
        table = store.scan(IMAGES, ["image_id", "payload", "part_id", "created_at"], where).sort_by("created_at")
        parts = parts_of(store.parts(pc.unique(table["part_id"].drop_null()).to_pylist()).values())
    except StoreError as error:
        raise fail(str(error)) from None
    # Later rows replace earlier ones.
    rows = dict(zip(table["image_id"].to_pylist(), frames_of(table), strict=True))
    if not rows:
        raise fail(f"the store {store.url} holds no encoded image" + (f" of encoding {encoding}" if encoding else ""))
    done = refused = 0
    with progress_bar(f"decoding {len(rows)} images") as tell:
        for index, (image_id, frame) in enumerate(sorted(rows.items())):
            for target in places.get(image_id, [out_dir / f"{image_id}.png"]):
                try:
                    _write(frame, target, device, parts)
                    done += 1
                except PayloadError as error:
                    note(f"refused: {image_id}: {error}")
                    refused += 1
            tell(index + 1, len(rows))
    return done, refused


def _targets(sources: Sequence[dict[str, Any]], out_dir: Path) -> dict[str, list[Path]]:
    """Where each image's PNGs go, one a source."""
    several = len({row["device"] for row in sources}) > 1
    targets: dict[Path, str] = {}
    for row in sorted(sources, key=lambda r: (r["device"], r["path"], r["image_id"])):
        folder = out_dir / device_name(row["device"]) if several else out_dir
        path = folder / f"{safe_stem(row['path'], row['image_id'])}.png"
        if targets.get(path, row["image_id"]) != row["image_id"]:
            path = folder / f"{row['image_id']}.png"
        targets[path] = row["image_id"]
    of_image: dict[str, list[Path]] = {}
    for path, image_id in targets.items():
        of_image.setdefault(image_id, []).append(path)
    return of_image


def _write(frame: EncodedFrame, target: Path, device: str, parts: Parts) -> None:
    pixels = decode_frame(frame, device, parts)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, format="PNG")
    write_whole(target, png.getvalue())
