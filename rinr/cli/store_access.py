"""Opening the weight store from a command: with a clear word where its package is missing."""

from typing import TYPE_CHECKING

from rinr.cli.console import fail

if TYPE_CHECKING:
    from storage.store import Store


def open_store(url: str) -> "Store":
    """The store at a URL; a missing package ends the command and says what to install."""
    try:
        from storage.store import Store
    except ModuleNotFoundError as error:
        raise fail(
            f"the weight store needs the package {error.name}: pip install 'residual-inr[fog]' "
            "(or use --out for payload files, which need no store)"
        ) from None
    return Store(url)
