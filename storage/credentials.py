"""Credentials by reference: options name where a secret stands, and it is read only where a file system is opened.

Anywhere among a device's options, ``{env = "NAME"}`` stands for an environment variable of the process that opens
the storage, and ``{block = "name"}`` for a Prefect Secret block. What is passed around, pickled, logged and shown
is the reference.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_NAMES = {"env": re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}"), "block": re.compile(r"[a-z0-9][a-z0-9-]{0,199}")}


class CredentialError(ValueError):
    """A secret that is not there; the message says which, never what it is."""


@dataclass(frozen=True)
class Reference:
    """Where a secret stands.

    Attributes:
        kind: ``env`` for an environment variable, ``block`` for a Prefect Secret block.
        name: of the variable or the block.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f'{{ {self.kind} = "{self.name}" }}'


Secrets = Callable[[Reference], str]
"""Gives the secret of a reference, or raises :class:`CredentialError`."""


def environment(reference: Reference) -> str:
    """The secret in an environment variable.

    Raises:
        CredentialError: it is not set, or the reference is to a block.
    """
    if reference.kind != "env":
        raise CredentialError(
            f"the secret {reference} is a Prefect block, which only a flow's tasks read; "
            'for this command write { env = "NAME" } and set that variable'
        )
    value = os.environ.get(reference.name)
    if not value:
        raise CredentialError(f"the environment variable {reference.name} is not set; set it where this runs")
    return value


def reference_of(value: Any) -> Reference | None:
    """What a value among the options refers to; ``None`` where it is no reference.

    Raises:
        ValueError: it looks like one, but is not well-formed.
    """
    if not isinstance(value, Mapping) or not set(value) & set(_NAMES):
        return None
    if len(value) == 1:
        ((kind, name),) = value.items()
        if isinstance(name, str) and _NAMES[kind].fullmatch(name):
            return Reference(kind, name)
    raise ValueError(
        '{ env = "NAME" } with the name of an environment variable, or { block = "name" } with that of a Prefect block'
    )


def resolve(options: Mapping[str, Any], secrets: Secrets) -> dict[str, Any]:
    """The options with every reference in them, at any depth, replaced by its secret.

    Raises:
        CredentialError: a secret is not there.
    """
    return {key: _resolved(value, secrets) for key, value in options.items()}


def references(options: Any) -> list[Reference]:
    """All references among some options, in their order."""
    found = reference_of(options)
    if found:
        return [found]
    items = options.values() if isinstance(options, Mapping) else options if isinstance(options, list | tuple) else ()
    return [reference for item in items for reference in references(item)]


def _resolved(value: Any, secrets: Secrets) -> Any:
    reference = reference_of(value)
    if reference:
        return secrets(reference)
    if isinstance(value, Mapping):
        return {key: _resolved(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_resolved(item, secrets) for item in value]
    return value
