"""Where a relay is, from what a person types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zmqchat_rs._core import parse_address

if TYPE_CHECKING:
    from typing import Sequence

_LAST_PORT = 65_535


def relay_addresses(via: str | Sequence[str]) -> tuple[str, str]:
    """Give the two addresses of a relay.

    Args:
        via: Its host, `teacher-pc`, or with a port, `teacher-pc:6000`: it is heard at that port
            (5555 unless given) and spoken to at the next one. Or both addresses, where to speak and
            where to hear: a pair, or a text with a comma.

    Returns:
        Where to speak (the relay's frontend), where to hear (its backend).

    Raises:
        ValueError: It is no address, or one that has no next port.
    """
    both = via.split(",") if isinstance(via, str) else list(via)
    both = [address.strip() for address in both]
    if len(both) == 1:
        return _by_ports(both[0])
    if len(both) != 2:  # noqa: PLR2004 - a relay has two sides
        raise ValueError(
            f"via is one host, or two addresses (where to speak, where to hear), not {len(both)}: "
            'for example "teacher-pc" or ("teacher-pc:5556", "teacher-pc:5555")'
        )
    for address in both:
        parse_address(address)
    return both[0], both[1]


def _by_ports(via: str) -> tuple[str, str]:
    transport, host, port = parse_address(via)
    if transport != "tcp":
        raise ValueError(
            f"via={via!r} has no ports: give both addresses, where to speak and where to hear, "
            'for example ("ipc:///tmp/frontend", "ipc:///tmp/backend")'
        )
    if port >= _LAST_PORT:
        raise ValueError(
            f"via={via!r}: the relay is spoken to at the next port, and there is none after "
            f"{port}; give both addresses, where to speak and where to hear"
        )
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{host}:{port + 1}", f"{host}:{port}"
