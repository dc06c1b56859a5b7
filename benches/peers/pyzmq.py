"""pyzmq, as its documentation has it: one socket, `send` and `recv` or their `_string` twins."""

from __future__ import annotations

import functools

import zmq

from . import Receiving, Sending


def versions() -> dict[str, str]:
    """The versions of the package and of its libzmq."""
    return {"pyzmq": zmq.pyzmq_version(), "libzmq": zmq.zmq_version()}


def sending(kind: str, endpoint: str) -> Sending:
    """An XPUB, which sends as a PUB does (libzmq's pub_t is an xpub_t) and hears who subscribes."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
    socket.set_hwm(0)
    socket.bind(endpoint)

    def wait_for_subscriber() -> None:
        if not socket.poll(30_000) or socket.recv() != b"\x01":
            raise RuntimeError("no subscriber came in 30 s")

    return Sending(
        endpoint=socket.getsockopt_string(zmq.LAST_ENDPOINT),
        send=socket.send_string if kind == "text" else socket.send,
        wait_for_subscriber=wait_for_subscriber,
        close=socket.close,
    )


def receiving(kind: str, endpoint: str) -> Receiving:
    """A SUB that hears everything."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    socket.set_hwm(0)
    socket.subscribe(b"")
    socket.connect(endpoint)
    receive = socket.recv_string if kind == "text" else socket.recv
    return Receiving(
        receive=receive,
        look=functools.partial(receive, zmq.NOBLOCK),
        nothing_there=zmq.Again,
        close=socket.close,
    )
