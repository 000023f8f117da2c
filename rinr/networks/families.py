"""The families there are. A new one is a file beside this one and an entry here."""

from rinr.codec.bytestream import PayloadError
from rinr.networks.codecs import CODECS
from rinr.networks.cosine import COSINE
from rinr.networks.cosine_time import COSINE_TIME
from rinr.networks.family import Family
from rinr.networks.nerv import NERV
from rinr.networks.siren import SIREN
from rinr.networks.siren1 import SIREN_1

FAMILIES: tuple[Family, ...] = (SIREN_1, SIREN, COSINE, *CODECS, NERV, COSINE_TIME)


def family_named(name: str) -> Family:
    """The family of this name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    for family in FAMILIES:
        if family.name == name:
            return family
    raise ValueError(f"no network family is named {name!r}; there are {', '.join(f.name for f in FAMILIES)}")


def family_of_code(code: int) -> Family:
    """The family that payloads name by this code.

    Raises:
        PayloadError: it is not known here.
    """
    for family in FAMILIES:
        if family.code == code:
            return family
    raise PayloadError(f"networks: family {code} is not known here")
