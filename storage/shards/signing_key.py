"""The key with which the fog node signs, wherever the fleet file says it is."""

from pathlib import Path

from storage.credentials import Secrets, environment
from storage.fleet import Fog
from storage.shards.keyring import Keyring
from storage.shards.signing import SigningKey


def signing_key(fog: Fog, secrets: Secrets = environment) -> SigningKey:
    """The key that a secret holds where the fleet file refers to one, else the keyring's active one.

    Raises:
        KeyringError: there is none, or it cannot be used; the message says what to do.
        storage.credentials.CredentialError: the secret is not there.
    """
    if fog.signing_key is not None:
        return SigningKey.from_pem(secrets(fog.signing_key))
    return Keyring(Path(fog.keyring)).signer()
