"""What the bytes of a picture's file say before anything is decoded: its format, and whether its end is there.

JPEG, WebP and AVIF are taken, single still pictures alone. Nothing here trusts its input: damage within a file is the
decoder's to judge, and what this module says of it may be anything but an error of another kind.
"""

import re
from dataclasses import dataclass
from typing import Literal

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".webp", ".avif")
"""In lower case; files are taken whatever the case of theirs."""

Format = Literal["JPEG", "WEBP", "AVIF"]
"""As Pillow names it."""

_JPEG_START, _JPEG_END, _START_OF_SCAN = b"\xff\xd8\xff", 0xD9, 0xDA
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers that no length follows
# Within a scan, ff 00 is a byte of data, ff d0 to ff d7 are restarts, and ff may be repeated before a marker.
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_FILL = re.compile(rb"\xff+")
_MAX_SEGMENTS = 100_000

_AVIF_BRANDS = (b"avif", b"avis", b"mif1", b"msf1")
_AVIF_PARTS = frozenset({b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"uuid", b"idat", b"styp"})
_MAX_BOXES = 10_000
_HEAD = 12  # bytes that tell WebP and AVIF
_ANIMATED = 0x02

# A flat WebP ends in a zero for every 8,500 pixels; of no other picture does more than a few bytes at its end.
_PIXELS_A_ZERO, _FEW_ZEROS = 4_096, 32


class ImageError(ValueError):
    """Bytes that are not a picture this project takes; the message says what is wrong with them."""


class IncompletePicture(ImageError):  # noqa: N818 - it may be no error: the file may still be growing
    """A picture whose end is not there: cut off, or still being written."""


@dataclass(frozen=True)
class PictureFile:
    """A file that has its end.

    Attributes:
        format: of it.
        end: bytes up to the end of the picture; what a WebP has after it disturbs its decoder.
        size: ``(width, height)`` of a WebP as its header says it, in pixels: its decoder takes memory for them as soon
            as it is opened.
    """

    format: Format
    end: int
    size: tuple[int, int] | None = None


def picture_file(data: bytes) -> PictureFile:
    """What a file is, of its first bytes and of how its parts follow one another.

    Raises:
        IncompletePicture: empty or cut off.
        ImageError: none of the three formats, or moving pictures.
    """
    if not data:
        raise IncompletePicture("the file is empty")
    if data.startswith(_JPEG_START):
        if not _has_jpeg_end(data):
            raise _cut_off("JPEG", "its end (ff d9) is not there")
        return PictureFile("JPEG", len(data))
    written = data[: _HEAD + 1].rstrip(b"\0")
    if _JPEG_START.startswith(written) or (len(written) < _HEAD and _may_become(written)):
        raise IncompletePicture("the file has no more than zeros or the start of a picture yet; copy it again")
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return PictureFile("WEBP", _webp_end(data), _webp_size(data))
    if data[4:8] == b"ftyp" and data[8:12] in _AVIF_BRANDS:
        _check_avif_end(data)
        return PictureFile("AVIF", len(data))
    raise ImageError(f"not a JPEG, WebP or AVIF: it starts with {data[:_HEAD].hex(' ')}")


def check_written(data: bytes, file: PictureFile, size: tuple[int, int]) -> None:
    """See that a file does not end in room that was set aside for it and not written yet.

    Decoders of WebP and AVIF make a picture of zeros as well; a JPEG without its end is found by
    :func:`picture_file`.

    Args:
        data: of the file.
        file: what :func:`picture_file` says of it.
        size: ``(width, height)`` in pixels.

    Raises:
        IncompletePicture: it ends in more zeros than a picture of this size can.
    """
    if file.format == "JPEG":
        return
    most = _FEW_ZEROS + size[0] * size[1] // _PIXELS_A_ZERO
    if file.end > most and not any(data[file.end - most - 1 : file.end]):
        raise _cut_off(file.format, f"it ends in more than {most:,} zeros")


def _cut_off(form: str, why: str) -> IncompletePicture:
    name = form.replace("WEBP", "WebP")
    return IncompletePicture(f"the {name} cannot be decoded: {why}; it was cut off; copy it again")


def _may_become(written: bytes) -> bool:
    return b"RIFF".startswith(written[:4]) or (written[:3] == bytes(3) and b"ftyp".startswith(written[4:8]))


def _has_jpeg_end(data: bytes) -> bool:
    """Whether the end-of-image marker stands where the picture's segments and scans lead to it.

    Bytes beyond it do not matter. Where the segments are damaged this says yes: that is the decoder's to judge.
    """
    at, end, segments = 2, len(data), 0
    while at + 1 < end:
        segments += 1
        if segments > _MAX_SEGMENTS:
            raise ImageError(f"the JPEG has more than {_MAX_SEGMENTS:,} segments")
        if data[at] != 0xFF:
            return bool(data[at:].strip(b"\0"))  # all zeros: room that was set aside and not written yet
        marker = data[at + 1]
        if marker == 0xFF:
            at = _FILL.match(data, at).end() - 1  # type: ignore[union-attr]  # there is one
            continue
        if marker == _JPEG_END:
            return True
        at += 2
        if marker not in _STANDALONE and marker != 0:
            at += max(int.from_bytes(data[at : at + 2], "big"), 2)
        if marker == _START_OF_SCAN:
            found = _MARKER_IN_SCAN.search(data, at)
            if not found:
                return False
            at = found.start()
    return False


def _webp_end(data: bytes) -> int:
    return 8 + int.from_bytes(data[4:8], "little")


def _webp_size(data: bytes) -> tuple[int, int]:
    """``(width, height)`` of a WebP whose end is there (RFC 9649, section 2)."""
    if len(data) < max(_webp_end(data), 30):
        raise _cut_off("WEBP", f"it has {len(data):,} bytes of {max(_webp_end(data), 30):,}")
    kind = data[12:16]
    if kind == b"VP8X":
        if data[20] & _ANIMATED:
            raise ImageError("the WebP holds moving pictures; only single ones are taken")
        return _little(data[24:27]) + 1, _little(data[27:30]) + 1
    if kind == b"VP8 ":
        return _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF
    if kind == b"VP8L":
        sides = _little(data[21:25])
        return (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    raise ImageError("the WebP cannot be decoded: its header is damaged")


def _check_avif_end(data: bytes) -> None:
    """See that the boxes of an AVIF (ISO/IEC 14496-12, section 4.2) are there to their end, and those of a picture."""
    at, seen = 0, set[bytes]()
    for _ in range(_MAX_BOXES):
        length, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if seen >= {b"meta", b"mdat"} and kind not in _AVIF_PARTS:
            return  # bytes beyond the picture do not matter
        if length == 1:
            length, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if length == 0 and kind == b"mdat":
            return  # as long as the file is
        if at + max(length, head) > len(data) or length == 0:
            raise _cut_off("AVIF", "its parts end before they should")
        if length < head:
            return  # damaged
        seen.add(kind)
        at += length
        if at == len(data):
            if b"meta" not in seen:
                raise _cut_off("AVIF", "it ends before its picture")
            return
    raise ImageError(f"the AVIF has more than {_MAX_BOXES:,} parts")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
