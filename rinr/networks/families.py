"""The families there are. A new one is a file beside this one and an entry here."""

from rinr.codec.bytestream import PayloadError
from rinr.codec.payload import unseal
from rinr.networks.family import Family
from rinr.networks.siren import SIREN

FAMILIES: tuple[Family, ...] = (SIREN,)


def family_named(name: str) -> Family:
    """The family of this name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    for family in FAMILIES:
        if family.name == name:
            return family
    raise ValueError(f"no network family is named {name!r}; there are {', '.join(f.name for f in FAMILIES)}")


def family_of(payload: bytes) -> Family:
    """The family that wrote a network payload.

    Raises:
        PayloadError: malformed, or of a family not known here.
    """
    code, _ = unseal(payload)
    for family in FAMILIES:
        if family.code == code:
            return family
    raise PayloadError(f"network payload: family {code} is not known here")
