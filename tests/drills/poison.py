"""Preloaded into a Dask worker: one image kills the process that fits it."""

import os
import signal
from typing import Any

from storage import ingestion

_read_frame = ingestion.read_frame


def _read_or_die(pending: Any, *arguments: Any) -> Any:
    if pending.image_id == os.environ["RINR_DRILL_POISON"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return _read_frame(pending, *arguments)


ingestion.read_frame = _read_or_die
