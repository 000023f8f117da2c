"""A folder of payload files that knows what each was made of, so that a stopped run goes on where it was.

Beside the payloads lies ``encoded.jsonl``: a line of JSON for each payload that was written, appended after it. A line
names the payload's file and hash, the image, labels and encoding that it is of, and says of it what a row of the weight
store would: bytes, PSNR, what was picked and why. Of several lines of one file the last one counts. A line that a kill
cut short, or whose payload is not there any more as it was, counts as none.

What frames of a clip share lies beside them in a file of its own, named as the frames call it: ``91f5...e0.rinrp``.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rinr.codec.bytestream import PayloadError
from rinr.codec.clip import MAX_PART_BYTES, NAME_BYTES, part_name
from rinr.codec.encoded import EncodedClip, EncodedImage
from rinr.codec.frame import EncodedFrame, pack_frame
from rinr.files import write_whole

INDEX = "encoded.jsonl"

PART_SUFFIX = ".rinrp"

Key = tuple[str, str, str]
"""``(image_id, labels_id, encoding_id)``."""


def part_file(name: bytes) -> str:
    """The file of a shared part, by the name that frames call it by."""
    return f"{name.hex()}{PART_SUFFIX}"


def parts_beside(file: Path, frame: EncodedFrame) -> dict[bytes, bytes]:
    """The shared part that a frame needs, from the folder of its payload's file; empty where it needs none.

    Raises:
        PayloadError: the part is not there, too large, or not the one of that name.
    """
    if frame.clip is None:
        return {}
    name = frame.clip.part
    path = file.parent / part_file(name)
    try:
        too_many = path.stat().st_size > MAX_PART_BYTES
        payload = b"" if too_many else path.read_bytes()
    except OSError:
        raise PayloadError(
            f"it is of a clip, and what the clip shares is not there: copy {path.name} beside it"
        ) from None
    if too_many or part_name(payload) != name:
        raise PayloadError(f"what its clip shares, {path.name}, is damaged: its hash is another; copy it again")
    return {name: payload}


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
        return _digest(payload) == line.get("sha256") and (line.get("part_id") is None or self._has_part(file, line))

    def part_of(self, file: str) -> bytes | None:
        """The shared part that a file's frame needs; ``None`` where it stands alone, or the part is damaged."""
        line = self._lines.get(file, {})
        return self._part(file, line) if line.get("part_id") is not None and self._has_part(file, line) else None

    def put_clip(self, files: Sequence[str], clip: EncodedClip) -> None:
        """Write a clip's shared part beside each of the files, named relative to the folder, then its images."""
        if clip.part is not None:
            for folder in sorted({(self.path / file).parent for file in files}):
                write_whole(folder / part_file(part_name(clip.part)), clip.part)
        for file, image in zip(files, clip.images, strict=True):
            self.put(file, image)

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
            "part_id": image.part_id,
            "bytes_shared": image.bytes_shared,
            "clip": image.clip,
        }
        self._lines[file] = line
        with (self.path / INDEX).open("ab") as stream:
            # A line that was cut short must not swallow this one.
            stream.write(b"\n" * self._torn + json.dumps(line).encode() + b"\n")
        self._torn = False

    def _has_part(self, file: str, line: dict[str, Any]) -> bool:
        try:
            return _digest(self._part(file, line)) == line["part_id"]
        except (OSError, ValueError, TypeError):  # not there, or the line does not name one
            return False

    def _part(self, file: str, line: dict[str, Any]) -> bytes:
        return ((self.path / file).parent / part_file(bytes.fromhex(line["part_id"])[:NAME_BYTES])).read_bytes()


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
