"""What is inside a frame payload: every byte accounted for, and what its networks are.

Example::

    report = inspect_payload(Path("frame.rinr").read_bytes())
    sum(share.bytes for share in report.shares) == report.bytes
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rinr.boxes import Box
from rinr.codec.bytestream import Reader
from rinr.codec.clip import SHIFT_UNIT, ZOOM_UNIT, ClipPlace, part_id, read_place, unpack_part
from rinr.codec.frame import EncodedFrame, unpack_frame
from rinr.codec.version1 import is_version_1
from rinr.networks.families import family_of_code
from rinr.networks.family import Describing
from rinr.networks.payload import Member, read_groups, read_networks

_CHECKSUM = 4


@dataclass(frozen=True)
class Share:
    """Bytes of one part of a payload."""

    part: str
    bytes: int


@dataclass(frozen=True)
class NetworkReport:
    """One network.

    Attributes:
        box: where it is an object's.
        ideal_bytes: the ideal code length of its weights, eighths of bits; ``None`` where its family does not say.
        details: as its family describes it.
    """

    box: Box | None
    ideal_bytes: float | None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GroupReport:
    """Networks that were written together, in one body.

    Attributes:
        family: its name; ``none`` for boxes that have no network.
        bytes: of the body.
        details: what the body says of all its networks.
    """

    family: str
    bytes: int
    details: dict[str, Any]
    networks: tuple[NetworkReport, ...]


@dataclass(frozen=True)
class PayloadReport:
    """One frame payload.

    Attributes:
        bytes: of the payload.
        version: of the format.
        width: of the working frame, in pixels.
        height: likewise.
        pasted: whether object networks hold pixels rather than residuals.
        labels: names, sorted.
        shares: parts in the order in which they lie in the payload; their bytes add up to ``bytes``.
        background: its networks' groups.
        objects: likewise.
        clip: where the frame lies in what its clip shares; ``None``: it stands alone.
    """

    bytes: int
    version: int
    width: int
    height: int
    pasted: bool
    labels: tuple[str, ...]
    shares: tuple[Share, ...]
    background: tuple[GroupReport, ...]
    objects: tuple[GroupReport, ...]
    clip: "PlaceReport | None" = None


@dataclass(frozen=True)
class PlaceReport:
    """Where a frame lies in what its clip shares.

    Attributes:
        part: how the shared part's SHA-256 begins, in hexadecimal.
        time: number of the frame, for networks that are functions of time.
        zoom: across and down.
        shift: right and down of the frame's centre from the canvas's, in the canvas's pixels.
    """

    part: str
    time: int
    zoom: tuple[float, float]
    shift: tuple[float, float]


@dataclass(frozen=True)
class PartReport:
    """One shared part.

    Attributes:
        bytes: of its payload.
        part_id: SHA-256 of it, in hexadecimal.
        width: of the canvas, in pixels.
        height: likewise.
        shares: parts in the order in which they lie in it; their bytes add up to ``bytes``.
        networks: groups of its network.
    """

    bytes: int
    part_id: str
    width: int
    height: int
    shares: tuple[Share, ...]
    networks: tuple[GroupReport, ...]


def inspect_payload(data: bytes) -> PayloadReport:
    """Take a frame payload apart.

    Raises:
        PayloadError: malformed; the message names the field.
    """
    frame = unpack_frame(data)
    old = is_version_1(data)
    background = _groups(frame.background, [None], [(frame.width, frame.height)])
    objects = _groups(frame.objects, frame.boxes, [(box.width, box.height) for box in frame.boxes])
    shares = []
    for part, size in _version_1_parts(data) if old else _version_2_parts(data, frame):
        groups = {"background": background, "objects": objects}.get(part)
        shares += _network_shares(part, size, groups) if groups is not None else [Share(part, size)]
    return PayloadReport(
        bytes=len(data),
        version=1 if old else 2,
        width=frame.width,
        height=frame.height,
        pasted=frame.pasted,
        labels=tuple(sorted({box.label for box in frame.boxes})),
        shares=tuple(share for share in shares if share.bytes),
        background=background,
        objects=objects,
        clip=_place(frame.clip) if frame.clip else None,
    )


def inspect_part(data: bytes) -> PartReport:
    """Take a shared part apart.

    Raises:
        PayloadError: malformed; the message names the field.
    """
    part = unpack_part(data)
    groups = _groups(part.network, [None], [(part.width, part.height)])
    header = len(data) - len(part.network) - _CHECKSUM
    shares = [Share("header", header), *_network_shares("base", len(part.network), groups)]
    shares.append(Share("checksum", _CHECKSUM))
    return PartReport(len(data), part_id(data), part.width, part.height, tuple(s for s in shares if s.bytes), groups)


def brief(members: Sequence[Member | None]) -> str:
    """Networks in a few words: ``cosine step 480 tile 80``; those that differ are named once, up to three."""
    words: dict[str, None] = {}
    for member in members:
        if member is None:
            continue
        family = member.family
        details = family.describe(member.network) if isinstance(family, Describing) else {}
        words.setdefault(" ".join(filter(None, (family.name, details.get("brief")))))
    named = list(words)
    return ", ".join(named[:3] + ([f"{len(named) - 3} more"] if len(named) > 3 else [])) or "none"


def _place(place: ClipPlace) -> PlaceReport:
    across, down = (round(1 + zoom / ZOOM_UNIT, 6) for zoom in place.zoom)
    right, lower = (shift / SHIFT_UNIT for shift in place.shift)
    return PlaceReport(place.part.hex(), place.time, (across, down), (right, lower))


def _groups(data: bytes, boxes: Sequence[Box | None], sizes: Sequence[tuple[int, int]]) -> tuple[GroupReport, ...]:
    members = read_networks(data, sizes)
    return tuple(
        _group(group.code, group.body, [boxes[i] for i in group.mine], [members[i] for i in group.mine])
        for group in (read_groups(data, len(sizes)) if sizes else ())
    )


def _group(code: int, body: bytes, boxes: Sequence[Box | None], members: Sequence[Member | None]) -> GroupReport:
    networks = [member.network for member in members if member]
    family = family_of_code(code) if networks else None
    if not isinstance(family, Describing):
        reports = tuple(NetworkReport(box, None) for box in boxes)
        return GroupReport(family.name if family else "none", len(body), {}, reports)
    reports = tuple(
        NetworkReport(box, round(bits / 8, 1), family.describe(network))
        for box, network, bits in zip(boxes, networks, family.ideal_bits(networks), strict=True)
    )
    return GroupReport(family.name, len(body), family.describe_body(body, networks), reports)


def _network_shares(part: str, size: int, groups: Sequence[GroupReport]) -> list[Share]:
    """A part that holds networks: their bodies, each cut into its header and its weights, and what is around them."""
    shares = [Share(f"{part}: families and lengths", size - sum(group.bytes for group in groups))]
    totals: dict[str, int] = {}
    for group in groups:
        header = group.details.get("header_bytes", 0)
        for name, count in ((f"{group.family} header", header), (f"{group.family} weights", group.bytes - header)):
            totals[name] = totals.get(name, 0) + count
    return shares + [Share(f"{part}: {name}", count) for name, count in totals.items()]


def _version_2_parts(data: bytes, frame: EncodedFrame) -> list[tuple[str, int]]:
    """Parts and their bytes as :mod:`rinr.codec.frame` lays them out; the payload has been read once."""
    reader = Reader(data[:-_CHECKSUM], "frame payload")
    reader.take(3, "magic")
    reader.varint("width")
    reader.varint("height")
    parts = [("header", reader.position)]
    if frame.clip:
        read_place(reader)
        parts.append(("place in a clip", reader.position - parts[0][1]))
    if not frame.boxes:
        return [*parts, ("background", reader.end - reader.position), ("checksum", _CHECKSUM)]
    at = reader.position
    reader.take(reader.varint("background length"), "background")
    parts.append(("background", reader.position - at))
    at = reader.position
    for _ in range(reader.varint("label count")):
        reader.take(reader.varint("label length"), "label")
    parts.append(("labels", reader.position - at))
    at = reader.position
    reader.varint("box count")
    reader.take(reader.varint("boxes length"), "boxes")
    parts.append(("boxes", reader.position - at))
    return [*parts, ("objects", reader.end - reader.position), ("checksum", _CHECKSUM)]


def _version_1_parts(data: bytes) -> list[tuple[str, int]]:
    """Parts and their bytes as :mod:`rinr.codec.version1` lays them out, boxes gathered from among the objects."""
    reader = Reader(data[:-_CHECKSUM], "frame payload")
    reader.take(9, "header")
    at = reader.position
    reader.take(reader.varint("background length"), "background")
    background = reader.position - at
    at = reader.position
    for _ in range(reader.varint("label count")):
        reader.take(reader.varint("label length"), "label")
    labels = reader.position - at
    at, objects = reader.position, 0
    for _ in range(reader.varint("object count")):
        for name in ("x", "y", "width", "height", "label"):
            reader.varint(name)
        before = reader.position
        reader.take(reader.varint("object length"), "object")
        objects += reader.position - before
    boxes = reader.position - at - objects
    sizes = {"header": 9, "background": background, "labels": labels, "boxes": boxes, "objects": objects}
    return [*sizes.items(), ("checksum", _CHECKSUM)]
