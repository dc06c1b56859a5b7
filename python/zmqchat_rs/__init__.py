"""Publish and subscribe over ZeroMQ: type in one window, read in the others.

A publisher, on one laptop::

    from zmqchat_rs import Publisher

    with Publisher() as pub:  # every address of this laptop, port 5555
        print("Connect to:", *pub.addresses)
        pub.wait_for_subscribers(1, topic="room1")  # earlier messages would be lost
        pub.send("Hello everyone!", topic="room1")

A subscriber, on the same laptop, or on another one with the address that the publisher printed::

    from zmqchat_rs import Subscriber

    with Subscriber("127.0.0.1", topics=["room1"]) as sub:
        for message in sub:
            print(message.received_at, message.topic, message.text)

Each side also works with any ZeroMQ SUB or PUB socket in any language: on the wire, the message is
one frame, ``room1:Hello everyone!``. All objects may be used from any thread. Times are seconds;
``None`` waits forever, ``0`` checks once. For a shell, see ``zmqchat --help``.
"""

from __future__ import annotations

import sys

from . import _main_interpreter  # noqa: F401 - raises before the native module is loaded

# isort: split
from . import _lifecycle
from ._core import (
    ClosedError,
    Message,
    MessageTable,
    Peer,
    Publisher,
    PublisherStats,
    QueueFullError,
    Relay,
    RelayStats,
    Subscriber,
    SubscriberStats,
    Transcript,
    TranscriptReader,
    ZmqChatError,
    __version__,
    build_info,
    local_addresses,
    read_transcript,
)

__all__ = [
    "Chat",
    "ChatStats",
    "Check",
    "ClosedError",
    "Event",
    "Member",
    "Message",
    "MessageTable",
    "Notice",
    "Peer",
    "Probe",
    "Publisher",
    "PublisherStats",
    "QueueFullError",
    "Relay",
    "RelayStats",
    "Report",
    "Subscriber",
    "SubscriberStats",
    "Transcript",
    "TranscriptReader",
    "Watch",
    "ZmqChatError",
    "__version__",
    "build_info",
    "doctor",
    "local_addresses",
    "pack_array",
    "read_transcript",
    "to_pandas",
    "to_polars",
    "unpack_array",
]

TYPE_CHECKING = False  # as in `typing`, which would take most of the time of this import
if TYPE_CHECKING:
    from .chat import Chat, ChatStats, Member, Notice
    from .data.arrays import pack_array, unpack_array
    from .data.tables import to_pandas, to_polars
    from .diagnostics.doctor import Check, Report, doctor
    from .diagnostics.probe import Probe
    from .display.watch import Watch
    from .events import Event

if "gevent.monkey" in sys.modules:
    from . import _native_imports as _native_imports

_lifecycle.register()


def __getattr__(name: str) -> object:
    """Import rarely used names on first use."""
    found: object
    if name in {"Check", "Probe", "Report", "doctor"}:
        from .diagnostics import doctor  # noqa: PLC0415

        found = getattr(doctor, name)
    elif name == "Event":
        from .events import Event  # noqa: PLC0415

        found = Event
    elif name in {"pack_array", "unpack_array"}:
        from .data import arrays  # noqa: PLC0415

        found = getattr(arrays, name)
    elif name in {"to_pandas", "to_polars"}:
        from .data import tables  # noqa: PLC0415

        found = getattr(tables, name)
    elif name == "Watch":
        from .display.watch import Watch  # noqa: PLC0415

        found = Watch
    elif name in ("Chat", "ChatStats", "Member", "Notice"):
        from . import chat  # noqa: PLC0415

        found = getattr(chat, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
