"""Zenoh, peer to peer over one TCP connection, set to block instead of dropping."""

from __future__ import annotations

import importlib
import json
import socket
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from . import Receiving, Sending

if TYPE_CHECKING:
    from . import Job

# The library is not type-checked here.
Untyped = Any

_zenoh = importlib.import_module("zenoh")
_KEY = "benches"


def versions() -> dict[str, str]:
    """The version of the package, which contains Zenoh."""
    return {"eclipse-zenoh": metadata.version("eclipse-zenoh")}


def _session(place: str, endpoint: str) -> Untyped:
    """A session with this one connection, and no discovery of peers."""
    config = _zenoh.Config()
    config.insert_json5("mode", '"peer"')
    config.insert_json5(place, json.dumps([endpoint]))
    config.insert_json5("scouting/multicast/enabled", "false")
    config.insert_json5("scouting/gossip/enabled", "false")
    if place != "listen/endpoints":
        config.insert_json5("listen/endpoints", "[]")
    return _zenoh.open(config)


def sending(job: Job) -> Sending:
    """A publisher that blocks if a queue is full."""
    del job
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp/127.0.0.1:{probe.getsockname()[1]}"
    session = _session("listen/endpoints", endpoint)
    publisher = session.declare_publisher(
        _KEY,
        congestion_control=_zenoh.CongestionControl.BLOCK,
        reliability=_zenoh.Reliability.RELIABLE,
    )

    def wait_for_subscribers(count: int) -> None:
        del count
        deadline = time.monotonic() + 30
        while not publisher.matching_status.matching:
            if time.monotonic() > deadline:
                raise RuntimeError("no subscriber connected within 30 s")
            time.sleep(0.01)

    def close() -> None:
        session.close()

    return Sending(endpoint, publisher.put, wait_for_subscribers, close)


def receiving(job: Job) -> Receiving:
    """A subscriber whose full queue blocks the sender."""
    session = _session("connect/endpoints", job["endpoint"])
    subscriber = session.declare_subscriber(_KEY, _zenoh.handlers.FifoChannel(8192))
    take = subscriber.recv

    def receive() -> bytes:
        payload: bytes = take().payload.to_bytes()
        return payload

    return Receiving(receive, session.close)
