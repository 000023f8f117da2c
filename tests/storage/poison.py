"""A check of JPEGs that dies of some: for workers, so nothing heavy is imported here."""

import os
import signal

from rinr.frames import PictureFacts, check_picture

POISON = b"poison"


def check(data: bytes) -> PictureFacts:
    if POISON in data[:100]:
        os.kill(os.getpid(), signal.SIGKILL)
    return check_picture(data)
