"""The port: bound before anything is loaded, and closed without losing a connection that it had taken.

A port that is closed resets the connections that were set up and not yet accepted, requests on them included. Therefore new
ones are turned away a moment before, by a packet filter on the port, and all that are set up are accepted meanwhile.
"""

import ctypes
import socket
import struct
import sys
from contextlib import suppress

SETTLE_SECONDS = 0.05
"""Between turning new connections away and closing the port: enough to accept those that were set up."""
_BACKLOG = 2048
_ATTACH_FILTER = 26
"""SO_ATTACH_FILTER of Linux on common machines; Python does not name it."""
_ALL = 0xFFFFFFFF
_NO_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the TCP flags
    (0x54, 0, 0, 0x12),  # of which SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # then drop the packet
    (0x06, 0, 0, _ALL),  # else keep all of it
)
"""Classic BPF (the kernel's documentation, networking/filter): the packets that begin a connection are dropped."""


class PortError(Exception):
    """Raised when the address cannot be bound."""


def listen(host: str, port: int, unread_seconds: float) -> socket.socket:
    """A socket that listens; connections whose other side reads nothing for `unread_seconds` end. Raises PortError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        # A caller who reads nothing any more is given up by the kernel, or its connection would outlive its stream.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(unread_seconds * 1000))
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        message = f"{host}:{port} cannot be bound: {reason}; choose another port with --port (make run PORT=…)"
        raise PortError(message) from error
    return listener


def take_no_more(listener: socket.socket) -> None:
    """Turn new connections away: who tries asks again in a second, and meets a closed port then.

    For all processes that share the port. Elsewhere than on Linux nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in _NO_SYN))
    given = struct.pack("HP", len(_NO_SYN), ctypes.addressof(program))
    with suppress(OSError):  # closed already, or a kernel without filters
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, given)
