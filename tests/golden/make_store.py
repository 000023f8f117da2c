"""Writes the golden store of the first release: ``python make_store.py SAMPLE OUT``, with that release's code.

It is run once for a release, from a checkout of it (``git worktree add DIR COMMIT; PYTHONPATH=DIR python
tests/golden/make_store.py DIR/sample OUT``), and then stays: later versions are asked to read and extend what it wrote,
not to write it again.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from rinr.encoder import encode
from rinr.presets import encoding_id, find_preset
from storage.delivery import deliver
from storage.fleet import Device
from storage.ingestion import ingest, read_frame
from storage.store import Store

FRAMES = {"device-1": ("frame-01.jpg", "frame-05.jpg", "frame-09.jpg"), "device-2": ("frame-01.jpg",)}
TIME = 1_746_000_000  # seconds since 1970: the files' time, April 2025


def make(sample: Path, out: Path) -> None:
    """Ingest, encode and deliver four frames; one file is no JPEG and lies in the quarantine."""
    preset = find_preset("instant")
    with tempfile.TemporaryDirectory() as work:
        devices = [copied(sample, name, Path(work)) for name in FRAMES]
        (Path(devices[0].storage) / "broken.jpg").write_bytes(b"no picture")
        os.utime(Path(devices[0].storage) / "broken.jpg", (TIME, TIME))
        store = Store(str(out))
        for device in devices:
            print(ingest(device, store))
        places = {device.name: device.storage for device in devices}
        missing = store.missing(encoding_id(preset))
        frames = [read_frame(pending, store.url, places) for pending in missing]
        print(store.append_images(encode(frames, preset)), "images")
        print(deliver(store, devices[1], encoding_id=encoding_id(preset)))
    shutil.rmtree(out / "landing")


def copied(sample: Path, name: str, work: Path) -> Device:
    """A device with copies of its frames, and of the labels that speak of them."""
    folder = work / name / "storage"
    folder.mkdir(parents=True)
    document = json.loads((sample / name / "annotations.json").read_text())
    images = [image for image in document["images"] if image["file_name"] in FRAMES[name]]
    ids = {image["id"] for image in images}
    annotations = [annotation for annotation in document["annotations"] if annotation["image_id"] in ids]
    (folder / "annotations.json").write_text(json.dumps(document | {"images": images, "annotations": annotations}))
    for file in FRAMES[name]:
        shutil.copy(sample / name / file, folder / file)
        os.utime(folder / file, (TIME, TIME))
    return Device(name, str(folder), str(work / name / "inbox"), name, str(work / name / "home"))


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
