import numpy as np
import pytest
import torch

from rinr.codec.bytestream import PayloadError
from rinr.networks.cosine import COSINE
from rinr.networks.payload import Member, read_networks, write_networks
from rinr.networks.settings import CosineSettings, Schedule, SirenSettings
from rinr.networks.siren import SIREN
from rinr.networks.siren_coding import Shape, in_order
from tests.conftest import picture

SIZES = [(20, 16), (9, 30), (12, 12), (16, 8), (30, 30)]
COARSE = CosineSettings(40, (16,), 0.0, 8, 0.1, 1)
FINE = CosineSettings(10, (8,), 0.0, 8, 0.1, 1)
NETWORK = SirenSettings(Shape(6, 3), omega=8, bits=8, schedule=Schedule(10, 1e-2, True, 512))


def members(*kinds: object) -> list[Member | None]:
    made: list[Member | None] = []
    for seed, (kind, size) in enumerate(zip(kinds, SIZES, strict=False)):
        wanted = torch.tensor(picture(seed, *size)).float() / 255
        if kind is None:
            made.append(None)
        elif isinstance(kind, CosineSettings):
            made.append(Member(COSINE, COSINE.fit([wanted], kind)[0]))
        else:
            made.append(Member(SIREN, in_order(SIREN.fit([wanted], NETWORK)[0])))
    return made


def same(one: Member | None, other: Member | None) -> bool:
    if one is None or other is None:
        return one is other
    # Why a fit stopped is not written.
    arrays = [(v, vars(other.network)[k]) for k, v in vars(one.network).items() if k != "stopped"]
    return one.family is other.family and all(np.array_equal(a, b) for a, b in arrays)


@pytest.mark.parametrize(
    "kinds",
    [
        (COARSE,),
        (None,),
        (NETWORK,),
        (COARSE, COARSE, COARSE),
        (COARSE, None, FINE, NETWORK, COARSE),
        (None, NETWORK, None, None, FINE),
        (FINE, COARSE, FINE, COARSE, FINE),
    ],
)
def test_networks_of_any_families_and_layouts_come_back_in_their_order(kinds):
    wanted = members(*kinds)
    found = read_networks(write_networks(wanted), SIZES[: len(kinds)])
    assert all(same(a, b) for a, b in zip(wanted, found, strict=True))


def test_what_one_family_and_layout_share_is_written_once():
    wanted = members(COARSE, COARSE, COARSE, COARSE, COARSE)
    together = len(write_networks(wanted))
    apart = sum(len(write_networks([one])) for one in wanted)
    assert together <= apart - 4 * 5
    assert len(write_networks([None] * 100)) == 1
    assert write_networks([]) == b""


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "truncated at family"),
        (b"\xff", "family 127 is not known"),
        (b"\x7f", "family 127 is not known"),
        (b"\x80x", "1 bytes for networks that are not there"),
        (b"\x00", "truncated at bitmap"),
        (b"\x00\x00", "bitmap of 3 networks is 0"),
        (b"\x00\x09", "bitmap of 3 networks is 9"),
        (b"\x00\x01", "truncated at body length"),
        (b"\x00\x01\x05", "truncated at body"),
        (b"\x00\x07\x00junk", "4 bytes left over"),
    ],
)
def test_a_lie_is_refused_by_the_name_of_its_field(data, says):
    with pytest.raises(PayloadError, match=says):
        read_networks(data, SIZES[:3])
