"""The two addresses of a relay, from the argument `via`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zmqchat_rs._core import parse_address

if TYPE_CHECKING:
    from typing import Sequence

_LAST_PORT = 65_535


def relay_addresses(via: str | Sequence[str]) -> tuple[str, str]:
    """Return the two addresses of a relay.

    Args:
        via: The relay's host, `teacher-pc`, or its backend with a port, `teacher-pc:6000` (default
            port: 5555); the frontend has the next port. Or both addresses, frontend and backend: a
            pair, or a text with a comma.

    Returns:
        The frontend, which receives messages, and the backend, which sends them.

    Raises:
        ValueError: If it is not an address, or has no next port.
    """
    both = via.split(",") if isinstance(via, str) else list(via)
    both = [address.strip() for address in both]
    if len(both) == 1:
        return _by_ports(both[0])
    if len(both) != 2:  # noqa: PLR2004 - a relay has two sides
        raise ValueError(
            f"via is one host, or two addresses (frontend, backend), not {len(both)}: "
            'for example "teacher-pc" or ("teacher-pc:5556", "teacher-pc:5555")'
        )
    for address in both:
        parse_address(address)
    return both[0], both[1]


def _by_ports(via: str) -> tuple[str, str]:
    transport, host, port = parse_address(via)
    if transport != "tcp":
        raise ValueError(
            f"via={via!r} has no ports: give both addresses, frontend and backend, "
            'for example ("ipc:///tmp/frontend", "ipc:///tmp/backend")'
        )
    if port >= _LAST_PORT:
        raise ValueError(
            f"via={via!r}: the frontend has the next port, and there is none after {port}; give "
            "both addresses, frontend and backend"
        )
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{host}:{port + 1}", f"{host}:{port}"
