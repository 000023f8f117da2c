import socket

import pytest

from services.ports import LOOPBACK, PortError, free_port


def test_a_free_port_can_be_listened_on() -> None:
    with socket.create_server((LOOPBACK, free_port())):
        pass


def test_a_port_in_use_is_refused_in_one_line() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=f"^port {port} on 127.0.0.1 cannot be used .*--port"):
            free_port(port)
    assert free_port(port) == port
