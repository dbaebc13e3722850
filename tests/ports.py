"""Ports for servers that tests start."""

import socket


def free_ports(count: int = 1) -> list[int]:
    """Return ports of this machine that nobody listens on, each another one."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
