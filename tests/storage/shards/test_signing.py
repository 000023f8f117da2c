import base64
import hashlib
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest

from storage.shards.faults import Fault, KeyringError, ShardError
from storage.shards.signing import PublicKey, SigningKey, opened, signed, signer_of
from tests.storage.shards.examples import FOG, OTHER, REVOKED, seeded_key, trusted

# RFC 8032, section 7.1, test 2.
SEED = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
DOCUMENT = b'{"a": 1,\n "b": 2}'


def pem(body: bytes) -> str:
    return f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(body).decode()}\n-----END PRIVATE KEY-----\n"


def test_signatures_are_those_of_the_standard():
    key = SigningKey.from_pem(pem(bytes.fromhex("302e020100300506032b657004220420" + SEED)))
    assert key.public.raw.hex() == PUBLIC
    assert key.sign(b"\x72").hex() == SIGNATURE
    assert key.public.verifies(bytes.fromhex(SIGNATURE), b"\x72")
    assert not key.public.verifies(bytes.fromhex(SIGNATURE), b"\x73")


def test_a_public_key_as_text():
    key = PublicKey(bytes.fromhex(PUBLIC))
    assert key.id == hashlib.sha256(bytes.fromhex(PUBLIC)).hexdigest()[:16]
    assert base64.b64decode(key.text) == bytes.fromhex("302a300506032b6570032100" + PUBLIC)
    assert PublicKey.from_text(f" {key.text}\n") == key


def test_openssl_agrees(tmp_path: Path):
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    key = SigningKey.new()
    data = signed(DOCUMENT, "a purpose", key)
    signature = data.rsplit(b" ", 1)[1]
    (tmp_path / "key.der").write_bytes(base64.b64decode(key.public.text))
    (tmp_path / "text").write_bytes(b"a purpose\n" + DOCUMENT)
    (tmp_path / "signature").write_bytes(base64.b64decode(signature))
    command = "openssl pkeyutl -verify -pubin -inkey key.der -keyform DER -rawin -in text -sigfile signature"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "Verified Successfully" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "text",
    ["", "MCow", "ä", "A" * 3_000, base64.b64encode(b"x" * 44).decode(), base64.b64encode(b"x" * 32).decode()],
)
def test_a_public_key_that_is_none(text: str):
    with pytest.raises(KeyringError, match="expected an Ed25519 public key as `rinr keys list` shows it"):
        PublicKey.from_text(text)


def test_a_public_key_of_another_kind():
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = X25519PrivateKey.generate().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(KeyringError, match="cannot be read"):
        PublicKey.from_text(base64.b64encode(der).decode())


def test_a_private_key_is_written_read_and_not_shown():
    key = SigningKey.new()
    again = SigningKey.from_pem(key.pem())
    assert again.public == key.public
    assert again.sign(b"x") == key.sign(b"x")
    assert repr(key) == str(key) == f"SigningKey({key.public.id})"
    secret = key.pem().split("\n")[1]
    for text in ("", secret, key.pem().replace(secret, secret[:-4]), pem(b"x")):
        with pytest.raises(KeyringError, match="expected an unencrypted Ed25519 key") as error:
            SigningKey.from_pem(text)
        assert secret[20:40] not in str(error.value)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)


def test_what_is_signed_is_opened():
    data = signed(DOCUMENT, "a purpose", FOG)
    assert data.startswith(DOCUMENT + b"\nEd25519 " + FOG.public.id.encode() + b" ")
    assert opened(data, "a purpose", trusted, "x") == DOCUMENT
    assert signer_of(data, "x") == FOG.public.id
    assert opened(signed(b"", "p", FOG), "p", trusted, "x") == b""


def fault(data: bytes, purpose: str = "a purpose") -> Fault:
    with pytest.raises(ShardError, match="x") as error:
        opened(data, purpose, trusted, "x")
    return error.value.fault


def test_what_was_not_signed_so_is_not_opened():
    data = signed(DOCUMENT, "a purpose", FOG)
    assert fault(data, "another purpose") is Fault.EDITED
    assert fault(data.replace(b"1", b"2", 1)) is Fault.EDITED
    assert fault(b"\n" + data) is Fault.EDITED
    assert fault(signed(DOCUMENT, "a purpose", OTHER)) is Fault.UNKNOWN_KEY
    assert fault(signed(DOCUMENT, "a purpose", REVOKED)) is Fault.REVOKED_KEY
    # A key that calls itself by the trusted one's name.
    forged = signed(DOCUMENT, "a purpose", OTHER).replace(OTHER.public.id.encode(), FOG.public.id.encode())
    assert fault(forged) is Fault.EDITED
    # Purpose and document cannot be shifted into one another.
    assert fault(signed(b"q\n" + DOCUMENT, "p", FOG), "p\nq") is Fault.EDITED


@pytest.mark.parametrize("data", [b"", b"\n", DOCUMENT, DOCUMENT + b"\n", b"\nEd25519 \n", b"x" * 1_000_000])
def test_what_has_no_signature(data: bytes):
    assert fault(data) is Fault.UNSIGNED


def test_a_signature_has_one_spelling():
    """Of base64's last digit before the padding four bits do not count: others than the usual ones are refused."""
    data = signed(DOCUMENT, "a purpose", FOG)
    line = data.rsplit(b" ", 1)[1]
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = digits.index(chr(line[85]))
    for other in range(last // 16 * 16, last // 16 * 16 + 16):
        spelled = data.replace(line, line[:85] + digits[other].encode() + line[86:])
        assert base64.b64decode(spelled.rsplit(b" ", 1)[1]) == base64.b64decode(line)
        assert (other == last) == (spelled == data)
        if other != last:
            assert fault(spelled) is Fault.UNSIGNED


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"\n",
        lambda data: data[:-1],
        lambda data: data[:-1] + b"\r\n",
        lambda data: data.replace(b"Ed25519", b"ed25519"),
        lambda data: data.replace(b"Ed25519 ", b"Ed25519  "),
        lambda data: data.replace(FOG.public.id.encode(), FOG.public.id.upper().encode()),
    ],
)
def test_a_signature_line_has_one_form(change):
    assert seeded_key(1).public.id == FOG.public.id != FOG.public.id.upper()
    assert fault(change(signed(DOCUMENT, "a purpose", FOG))) is Fault.UNSIGNED


def test_an_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(ShardError(Fault.EDITED, "x is not y")))  # noqa: S301
    assert (error.fault, str(error)) == (Fault.EDITED, "x is not y")
