import hashlib
import json
import zlib
from dataclasses import asdict, replace

import pytest

from rinr.boxes import Annotation, Box
from rinr.codec.bytestream import PayloadError, varint
from rinr.codec.clip import ClipPlace, SharedPart, pack_part, pack_place
from rinr.codec.frame import EncodedFrame, pack_frame
from rinr.encoder import encode
from rinr.inspection import inspect_part, inspect_payload
from rinr.networks.payload import write_networks
from rinr.presets import BALANCED, ObjectClass
from tests.conftest import frame

BOXES = (Annotation(3, 4, 14, 12, "boat"), Annotation(20, 14, 12, 12, "bus"), Annotation(40, 20, 9, 21, "boat"))


def payload(preset, boxes=BOXES) -> bytes:
    (image,) = encode([frame(0, boxes)], preset)
    return pack_frame(image.frame)


def version_1(data: bytes) -> bytes:
    """A payload of the first version with these bodies' worth of networks: written here by hand."""

    def network(body: bytes) -> bytes:
        head = b"\xa1\x01" + body
        return head + (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")

    body = b"\x02\x02\x08" + b"\x50\x80\x50\x80" + data  # a SIREN of 2x2 at 8 bits, two layers under flat models
    parts = [b"RINR\x01", (64).to_bytes(2, "little"), (48).to_bytes(2, "little")]
    parts += [varint(len(network(body))), network(body), b"\x01", b"\x04boat", b"\x02"]
    for x in (3, 30):
        parts += [bytes([x, 4, 10, 12, 0]), varint(len(network(body))), network(body)]
    whole = b"".join(parts)
    return whole + zlib.crc32(whole).to_bytes(4, "little")


@pytest.mark.parametrize("boxes", [(), BOXES[:1], BOXES])
@pytest.mark.parametrize("name", ["tiny", "balanced"])
def test_shares_add_up_to_the_payload(name, boxes, tiny):
    data = payload(tiny if name == "tiny" else BALANCED, boxes)
    report = inspect_payload(data)
    assert sum(share.bytes for share in report.shares) == report.bytes == len(data)
    assert all(share.bytes > 0 for share in report.shares)
    assert (report.version, report.width, report.height) == (2, 64, 48)
    assert sorted(n.box for group in report.objects for n in group.networks) == [
        Box(*asdict(b).values()) for b in boxes
    ]
    # The weights cost what their models say, to within what the written format allows a coder.
    for part, groups in (("background", report.background), ("objects", report.objects)):
        for family in {group.family for group in groups}:
            mine = [group for group in groups if group.family == family]
            networks = [network for group in mine for network in group.networks]
            coded = sum(s.bytes for s in report.shares if s.part == f"{part}: {family} weights")
            ideal = sum(network.ideal_bytes for network in networks)
            lengths = len(networks) * (2 + 4) if family == "siren" else 0
            assert ideal - len(mine) <= coded <= 1.01 * ideal + 8 * len(mine) + lengths
    assert json.loads(json.dumps(asdict(report)))["bytes"] == len(data)


def test_bytes_of_the_parts_are_those_of_the_frame(tiny):
    (image,) = encode([frame(0, BOXES)], tiny)
    report = inspect_payload(pack_frame(image.frame))
    by_part = {p: sum(s.bytes for s in report.shares if s.part.startswith(p)) for p in ("background: ", "objects: ")}
    assert by_part["objects: "] == image.frame.bytes_objects
    # The length in front of the background's networks is counted with them: one varint of two bytes.
    assert by_part["background: "] == image.frame.bytes_background + len(varint(image.frame.bytes_background))


def test_the_first_version_is_read_as_well():
    data = version_1(bytes(range(40, 55)))
    report = inspect_payload(data)
    assert sum(share.bytes for share in report.shares) == report.bytes == len(data)
    assert (report.version, report.labels) == (1, ("boat",))
    assert [group.family for group in report.objects] == ["siren-1"]
    assert {share.part: share.bytes for share in report.shares}["boxes"] == 1 + 2 * 5


def test_what_is_said_of_networks(tiny):
    cosine = inspect_payload(payload(BALANCED))
    (background,) = cosine.background
    (network,) = background.networks
    assert network.details["step"] == pytest.approx(BALANCED.background.step, rel=0.03)
    assert set(background.details["rates"]) == {"density", "chroma", "slope"}
    siren = inspect_payload(payload(tiny))
    (network,) = siren.background[0].networks
    assert network.details["shape"] == "10x3"
    assert [layer["weights"] for layer in network.details["layers"]] == [30, 110, 33]


def test_boxes_without_networks_are_named(tiny):
    (image,) = encode([frame(0, BOXES)], tiny)
    bare = replace(image.frame, objects=write_networks([None] * 3))
    report = inspect_payload(pack_frame(bare))
    assert [group.family for group in report.objects] == ["none"]
    assert sum(share.bytes for share in report.shares) == len(pack_frame(bare))


@pytest.mark.parametrize("data", [b"", b"RI", b"RI\x02" + bytes(20), pack_frame(EncodedFrame(8, 8, b"\xff\x00"))])
def test_malformed_is_a_payload_error(data):
    with pytest.raises(PayloadError):
        inspect_payload(data)


def test_mixed_families_of_objects_are_groups_of_their_own(tiny):
    small = replace(BALANCED, objects=(ObjectClass(150, BALANCED.objects[-1].network), tiny.objects[-1]))
    report = inspect_payload(payload(small))
    assert {group.family for group in report.objects} == {"cosine", "siren"}
    assert sum(share.bytes for share in report.shares) == report.bytes


@pytest.mark.parametrize("boxes", [(), (Box(20, 10, 16, 12, "a"),)])
@pytest.mark.parametrize("place", [ClipPlace(b"abcdefgh"), ClipPlace(b"abcdefgh", 3, (-82, 41), (-320, 4))])
def test_a_frame_of_a_clip_that_has_no_background_of_its_own(boxes, place):
    data = pack_frame(
        EncodedFrame(64, 48, write_networks([None]), boxes, write_networks([None]) * len(boxes), clip=place)
    )
    report = inspect_payload(data)
    shares = {share.part: share.bytes for share in report.shares}
    assert sum(shares.values()) == report.bytes == len(data)
    assert shares["place in a clip"] == len(pack_place(place))
    assert [group.family for group in report.background] == ["none"]
    assert report.clip.part == b"abcdefgh".hex()
    assert report.clip.time == place.time
    assert report.clip.zoom == pytest.approx([1 + zoom / 8192 for zoom in place.zoom], abs=1e-6)
    assert report.clip.shift == tuple(shift / 8 for shift in place.shift)
    json.dumps(asdict(report))


def test_a_shared_part():
    (image,) = encode([frame(0, ())], BALANCED)
    data = pack_part(SharedPart(64, 48, image.frame.background))
    report = inspect_part(data)
    assert sum(share.bytes for share in report.shares) == report.bytes == len(data)
    assert (report.width, report.height, report.part_id) == (64, 48, hashlib.sha256(data).hexdigest())
    assert [group.family for group in report.networks] == ["cosine"]
    json.dumps(asdict(report))
    with pytest.raises(PayloadError, match="shared part"):
        inspect_part(data[:-1])
