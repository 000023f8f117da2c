from collections.abc import Callable

import pytest


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a line, whatever pytest does with output."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"  {text}", flush=True)

    with capsys.disabled():
        print(flush=True)
    return say
