"""Twenty things that somebody who can write to a device's inbox may do to a shard between its writing and its reading.

He sees all that ever lay in any inbox, has a key of his own, and knows the formats; what he lacks is the fog's key.
"""

import base64
import hashlib
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage.shards.faults import Fault
from storage.shards.manifest import DATA, MANIFEST, PURPOSE
from storage.shards.signing import SigningKey, signed

_NEVER_TAKEN = frozenset({Fault.EDITED, Fault.TRUNCATED})


@dataclass(frozen=True)
class Attack:
    """What the attacker has at hand.

    Attributes:
        inbox: the folder.
        name: of the shard that lies there and was not read yet.
        older: files of a shard that the device has taken before, data and manifest.
        foreign: files of a shard for another device, data and manifest.
        secret: a file of the device's that is nobody's business.
        evidence: a file that stands there if the attacker's code was ever run.
        key: his own.
    """

    inbox: Path
    name: str
    older: tuple[bytes, bytes]
    foreign: tuple[bytes, bytes]
    secret: Path
    evidence: Path
    key: SigningKey = field(default_factory=lambda: _new_key())

    @property
    def data(self) -> Path:
        return self.inbox / f"{self.name}{DATA}"

    @property
    def manifest(self) -> Path:
        return self.inbox / f"{self.name}{MANIFEST}"

    def document(self) -> bytes:
        """What is signed, of the manifest that lies there."""
        return self.manifest.read_bytes().rsplit(b"\n", 2)[0]


@dataclass(frozen=True)
class Tampering:
    """One of the twenty.

    Attributes:
        act: does it.
        faults: what the device may call it; none where it sees nothing at all and the fog node has to notice.
        needs_older: it takes a shard that was taken before.
    """

    act: Callable[[Attack], None]
    faults: frozenset[Fault]
    needs_older: bool = False

    @property
    def name(self) -> str:
        return self.act.__name__.lstrip("_")


class _Bomb:
    """Unpickled, it runs a command."""

    def __init__(self, evidence: Path) -> None:
        self.evidence = evidence

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.evidence),)


def _flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


def _data_with_a_bit_flipped(attack: Attack) -> None:
    _flip(attack.data, attack.data.stat().st_size // 2)


def _data_cut_short(attack: Attack) -> None:
    attack.data.write_bytes(attack.data.read_bytes()[:-1])


def _data_with_something_added(attack: Attack) -> None:
    attack.data.write_bytes(attack.data.read_bytes() + b"PAR1")


def _data_of_a_gigabyte(attack: Attack) -> None:
    os.truncate(attack.data, 1024**3)


def _data_gone(attack: Attack) -> None:
    attack.data.unlink()


def _data_of_an_older_shard(attack: Attack) -> None:
    attack.data.write_bytes(attack.older[0])


def _data_of_another_device(attack: Attack) -> None:
    attack.data.write_bytes(attack.foreign[0])


def _data_that_runs_code(attack: Attack) -> None:
    attack.data.write_bytes(pickle.dumps(_Bomb(attack.evidence)))


def _data_a_link_to_a_secret(attack: Attack) -> None:
    attack.data.unlink()
    attack.data.symlink_to(attack.secret)


def _manifest_with_a_bit_flipped(attack: Attack) -> None:
    _flip(attack.manifest, len(attack.document()) // 2)


def _manifest_for_another_sequence(attack: Attack) -> None:
    _resign_not(attack, sequence=2_000)


def _manifest_for_another_data(attack: Attack) -> None:
    data = attack.foreign[0]
    attack.data.write_bytes(data)
    _resign_not(attack, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _signature_with_a_bit_flipped(attack: Attack) -> None:
    *rest, text = attack.manifest.read_bytes().split(b" ")
    signature = bytearray(base64.b64decode(text))
    signature[32] ^= 1  # of the signature, not of its spelling, which would be none at times
    attack.manifest.write_bytes(b" ".join([*rest, base64.b64encode(signature)]) + b"\n")


def _signature_gone(attack: Attack) -> None:
    attack.manifest.write_bytes(attack.document() + b"\n")


def _signature_of_a_stranger(attack: Attack) -> None:
    attack.manifest.write_bytes(signed(attack.document(), PURPOSE, attack.key))


def _manifest_and_data_of_a_stranger(attack: Attack) -> None:
    _manifest_for_another_data(attack)
    _signature_of_a_stranger(attack)


def _manifest_cut_short(attack: Attack) -> None:
    attack.manifest.write_bytes(attack.manifest.read_bytes()[: len(attack.document()) // 2])


def _manifest_gone(attack: Attack) -> None:
    attack.manifest.unlink()


def _an_older_shard_again(attack: Attack) -> None:
    attack.data.write_bytes(attack.older[0])
    attack.manifest.write_bytes(attack.older[1])


def _a_shard_of_another_device(attack: Attack) -> None:
    attack.data.write_bytes(attack.foreign[0])
    attack.manifest.write_bytes(attack.foreign[1])


def _resign_not(attack: Attack, **changes: object) -> None:
    """Change a manifest and leave its signature."""
    document, _, rest = attack.manifest.read_bytes().rpartition(b"\nEd25519 ")
    changed = json.dumps({**json.loads(document), **changes}, separators=(",", ":")).encode()
    attack.manifest.write_bytes(changed + b"\nEd25519 " + rest)


def _new_key() -> SigningKey:
    return SigningKey.from_pem(
        Ed25519PrivateKey.generate()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


TAMPERINGS = (
    Tampering(_data_with_a_bit_flipped, _NEVER_TAKEN),
    Tampering(_data_cut_short, _NEVER_TAKEN),
    Tampering(_data_with_something_added, _NEVER_TAKEN),
    Tampering(_data_of_a_gigabyte, _NEVER_TAKEN),
    Tampering(_data_gone, frozenset({Fault.MISSING})),
    Tampering(_data_of_another_device, _NEVER_TAKEN),
    Tampering(_data_that_runs_code, _NEVER_TAKEN),
    Tampering(_data_a_link_to_a_secret, _NEVER_TAKEN | {Fault.MISSING}),
    Tampering(_manifest_with_a_bit_flipped, frozenset({Fault.EDITED})),
    Tampering(_manifest_for_another_sequence, frozenset({Fault.EDITED})),
    Tampering(_manifest_for_another_data, frozenset({Fault.EDITED})),
    Tampering(_signature_with_a_bit_flipped, frozenset({Fault.EDITED})),
    Tampering(_signature_gone, frozenset({Fault.UNSIGNED})),
    Tampering(_signature_of_a_stranger, frozenset({Fault.UNKNOWN_KEY})),
    Tampering(_manifest_and_data_of_a_stranger, frozenset({Fault.UNKNOWN_KEY})),
    Tampering(_manifest_cut_short, frozenset({Fault.UNSIGNED})),
    Tampering(_manifest_gone, frozenset()),
    Tampering(_a_shard_of_another_device, frozenset({Fault.FOREIGN, Fault.REPLAYED, Fault.OUT_OF_ORDER})),
    Tampering(_data_of_an_older_shard, _NEVER_TAKEN, needs_older=True),
    Tampering(_an_older_shard_again, frozenset({Fault.REPLAYED}), needs_older=True),
)
