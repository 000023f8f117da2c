"""A check that misbehaves, for the tests of validation: workers import it, so nothing heavy is imported here."""

import os
import signal
import sys
import time
from pathlib import Path

from rinr.frames import ImageError, PictureFacts

FACTS = PictureFacts((3, 2), 1, None)


def misbehave(data: bytes) -> PictureFacts:
    """A check that does what the bytes say."""
    word, _, argument = data.decode().strip().partition(" ")
    if word == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "exit":
        os._exit(3)
    if word == "sleep":
        time.sleep(float(argument))
    if word == "eat":
        return PictureFacts((len(bytearray(int(argument))), 1), 1, None)
    if word == "once":  # dies where it is the first to come by
        path = Path(argument)
        if not path.exists():
            path.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if word == "wait":  # shows its process, and waits to be let go
        path = Path(argument)
        if not path.exists():
            path.with_suffix(".new").write_text(str(os.getpid()))
            path.with_suffix(".new").rename(path)
            time.sleep(600)
    if word == "bug":
        raise KeyError(argument)
    if word == "environment":
        raise ImageError(f"environment: {dict(os.environ)}")
    if word == "modules":
        heavy = {"torch", "prefect", "dask", "pyarrow", "deltalake"} & set(sys.modules)
        raise ImageError(f"imported: {sorted(heavy)}")
    return FACTS
