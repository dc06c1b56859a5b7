"""zmqchat_rs."""

from __future__ import annotations

import functools

from zmqchat_rs import Publisher, Subscriber, build_info

from . import Receiving, Sending


def versions() -> dict[str, str]:
    """The versions of the package and of its libzmq."""
    built = build_info()
    return {"zmqchat_rs": built["version"], "libzmq": built["libzmq"]}


def sending(kind: str, endpoint: str) -> Sending:
    """A publisher; `send` takes text and bytes alike."""
    del kind
    publisher = Publisher(endpoint, high_water_mark=0)
    bound = publisher.endpoint
    if bound is None:
        raise RuntimeError(f"bound nothing at {endpoint}")
    return Sending(
        endpoint=bound,
        send=publisher.send,
        wait_for_subscriber=functools.partial(publisher.wait_for_subscribers, 1, timeout=30),
        close=publisher.close,
    )


def receiving(kind: str, endpoint: str) -> Receiving:
    """A subscriber to everything."""
    subscriber = Subscriber(endpoint, high_water_mark=0)
    receive = subscriber.recv_text if kind == "text" else subscriber.recv_bytes
    return Receiving(
        receive=receive,
        look=functools.partial(receive, timeout=0),
        nothing_there=TimeoutError,
        close=subscriber.close,
    )
