"""A folder of payload files that knows what each was made of, so that a stopped run goes on where it was.

Beside the payloads lies ``encoded.jsonl``: a line of JSON for each payload that was written, appended after it. A line
names the payload's file and hash, the image, labels and encoding that it is of, and says of it what a row of the weight
store would: bytes, PSNR, what was picked and why. Of several lines of one file the last one counts. A line that a kill
cut short, or whose payload is not there any more as it was, counts as none.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from rinr.codec.encoded import EncodedImage
from rinr.codec.frame import pack_frame
from rinr.files import write_whole

INDEX = "encoded.jsonl"

Key = tuple[str, str, str]
"""``(image_id, labels_id, encoding_id)``."""


class PayloadFolder:
    """Payload files below a folder, with their index."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines, self._torn = _read(path / INDEX)

    def holds(self, file: str, key: Key) -> bool:
        """Whether this file, named relative to the folder, holds the payload of this image, labels and encoding."""
        line = self._lines.get(file)
        if line is None or (line.get("image_id"), line.get("labels_id"), line.get("encoding_id")) != key:
            return False
        try:
            payload = (self.path / file).read_bytes()
        except OSError:
            return False
        return _digest(payload) == line.get("sha256")

    def put(self, file: str, image: EncodedImage) -> None:
        """Write an image's payload to a file named relative to the folder, then its line."""
        payload = pack_frame(image.frame)
        write_whole(self.path / file, payload)
        line = {
            "file": file,
            "sha256": _digest(payload),
            "image_id": image.image_id,
            "labels_id": image.labels_id,
            "encoding_id": image.encoding_id,
            "family": image.family,
            "preset": image.preset,
            "picked": image.picked,
            "stopped": image.stopped,
            "bytes_total": len(payload),
            "bytes_background": image.frame.bytes_background,
            "bytes_objects": image.frame.bytes_objects,
            "background_db": image.background_db,
            "object_db": image.object_db,
            "fit_seconds": image.fit_seconds,
            "codec_version": image.codec_version,
        }
        self._lines[file] = line
        with (self.path / INDEX).open("ab") as stream:
            # A line that was cut short must not swallow this one.
            stream.write(b"\n" * self._torn + json.dumps(line).encode() + b"\n")
        self._torn = False


def _read(index: Path) -> tuple[dict[str, dict[str, Any]], bool]:
    """The lines by file, and whether the last one was cut short."""
    try:
        text = index.read_text(errors="replace")
    except FileNotFoundError:
        return {}, False
    lines: dict[str, dict[str, Any]] = {}
    for row in text.splitlines():
        try:
            line = json.loads(row)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("file"), str):
            lines[line["file"]] = line
    return lines, bool(text) and not text.endswith("\n")


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()
