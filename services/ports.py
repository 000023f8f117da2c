"""Ports on the loopback interface."""

import socket

LOOPBACK = "127.0.0.1"


class PortError(ValueError):
    """A port that cannot be had; the message says what to do."""


def free_port(wanted: int | None = None) -> int:
    """A port that nothing listens on: the wanted one, or any.

    Raises:
        PortError: the wanted port is in use.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: a port that a finished connection still lingers on can be had.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted or 0))
        except OSError as error:
            raise PortError(
                f"port {wanted} on {LOOPBACK} cannot be used ({error.strerror}); "
                "choose another one with --port, or leave --port away for any free one"
            ) from None
        return int(probe.getsockname()[1])
