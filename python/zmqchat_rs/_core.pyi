"""Types of the native module. The docstrings stand in Rust; `help()` shows them."""

import sys
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import (
    Any,
    Callable,
    Iterable,
    Iterator,
    Literal,
    Sequence,
    TypedDict,
    final,
    type_check_only,
)

from typing_extensions import TypeAlias

if sys.version_info >= (3, 12):
    from collections.abc import Buffer
else:
    from typing_extensions import Buffer

from ._events import Event

_Payload: TypeAlias = str | bytes | Buffer
_Framing: TypeAlias = Literal["plain", "envelope"]
_ReadFraming: TypeAlias = Literal["plain", "envelope", "raw"]
_Timestamps: TypeAlias = Literal["none", "time", "iso", "delta"]
_LogFormat: TypeAlias = Literal["text", "jsonl"]
_LogSync: TypeAlias = Literal["os", "line", "disk"]
_Color: TypeAlias = Literal["auto", "always", "never"] | bool

__all__ = [
    "ClosedError",
    "Message",
    "Peer",
    "Publisher",
    "PublisherStats",
    "QueueFullError",
    "Subscriber",
    "SubscriberStats",
    "Transcript",
    "TranscriptReader",
    "ZmqChatError",
    "__version__",
    "_ending",
    "_next_event",
    "_restore_message",
    "_shutdown",
    "_stop_reading",
    "build_info",
    "local_addresses",
    "paint",
    "parse_address",
    "read_transcript",
    "sanitize",
    "transcript_line",
    "use_color",
]
__version__: str

class ZmqChatError(OSError): ...
class ClosedError(ZmqChatError): ...

class QueueFullError(ZmqChatError):
    sent: int

@type_check_only
class BuildInfo(TypedDict):
    version: str
    libzmq: str
    libsodium: str
    curve: bool
    draft: bool
    ipc: bool
    event_signal: str
    tcp_keepalive: bool
    interface_names: bool
    fork_guard: bool

@type_check_only
class LocalAddress(TypedDict):
    address: str
    interface: str
    kind: Literal["lan", "virtual", "loopback"]

@final
class Message:
    def __new__(
        cls,
        frames: Sequence[bytes],
        *,
        framing: _ReadFraming = "plain",
        received_at: datetime | None = None,
    ) -> Message: ...
    @property
    def topic(self) -> str | None: ...
    @property
    def text(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def raw(self) -> bytes: ...
    @property
    def frames(self) -> tuple[bytes, ...]: ...
    @property
    def received_at(self) -> datetime: ...
    @property
    def sender(self) -> str | None: ...
    @property
    def instance(self) -> str | None: ...
    @property
    def sent_at(self) -> datetime | None: ...
    @property
    def sequence(self) -> int | None: ...
    @property
    def delay(self) -> float | None: ...
    @property
    def kind(self) -> str | None: ...
    @property
    def address(self) -> str | None: ...
    def json(self) -> Any: ...
    def render(
        self,
        *,
        color: bool = False,
        timestamps: _Timestamps = "time",
        previous: Message | None = None,
        sender: str | None = None,
    ) -> str: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Peer:
    @property
    def address(self) -> str: ...
    @property
    def state(self) -> Literal["resolving", "connecting", "connected", "reconnecting"]: ...
    @property
    def since(self) -> datetime: ...
    @property
    def attempts(self) -> int: ...

@final
class PublisherStats:
    @property
    def sent(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def blocked_seconds(self) -> float: ...
    @property
    def subscribers(self) -> int: ...

@final
class SubscriberStats:
    @property
    def received(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def duplicates(self) -> int: ...
    @property
    def undecodable(self) -> int: ...
    @property
    def backlog(self) -> int: ...

@final
class Publisher:
    def __new__(
        cls,
        bind: str | Sequence[str] | None = None,
        *,
        connect: str | Sequence[str] = (),
        name: str | None = None,
        framing: _Framing = "plain",
        on_full: Literal["drop", "block", "raise"] = "drop",
        high_water_mark: int = 10_000,
        max_message_bytes: int = 67_108_864,
        linger: float = 1.0,
        keepalive: tuple[float, float, int] | None = (5.0, 4.0, 3),
        reconnect_max: float = 2.0,
        batch_bytes: int = 131072,
        on_event: Callable[[Event], object] | None = None,
    ) -> Publisher: ...
    def send(
        self, payload: _Payload, *, topic: str | None = None, timeout: float | None = None
    ) -> None: ...
    def send_many(
        self,
        payloads: Iterable[_Payload],
        *,
        topic: str | None = None,
        timeout: float | None = None,
    ) -> int: ...
    def _send_kind(self, payload: _Payload, kind: str | None, *, topic: str) -> bytes: ...
    def send_json(
        self, obj: Any, *, topic: str | None = None, timeout: float | None = None
    ) -> None: ...
    def wait_for_subscribers(
        self, count: int = 1, *, topic: str | None = None, timeout: float | None = None
    ) -> int: ...
    @property
    def subscriber_count(self) -> int: ...
    @property
    def topics(self) -> dict[str | bytes, int]: ...
    @property
    def endpoint(self) -> str | None: ...
    @property
    def endpoints(self) -> list[str]: ...
    @property
    def addresses(self) -> list[str]: ...
    @property
    def peers(self) -> list[Peer]: ...
    def stats(self) -> PublisherStats: ...
    @property
    def name(self) -> str | None: ...
    @property
    def closed(self) -> bool: ...
    def close(self, linger: float | None = None) -> None: ...
    def __enter__(self) -> Publisher: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class Subscriber:
    def __new__(
        cls,
        connect: str | Sequence[str] = (),
        *,
        bind: str | Sequence[str] = (),
        topics: str | Iterable[str] | None = None,
        prefixes: str | bytes | Iterable[str | bytes] = (),
        framing: _ReadFraming = "plain",
        high_water_mark: int = 10_000,
        max_message_bytes: int = 67_108_864,
        keepalive: tuple[float, float, int] | None = (5.0, 4.0, 3),
        reconnect_max: float = 2.0,
        batch_bytes: int = 131072,
        on_event: Callable[[Event], object] | None = None,
    ) -> Subscriber: ...
    def recv(self, timeout: float | None = None) -> Message: ...
    def _next(self, timeout: float | None) -> Message | None: ...
    def _next_from(self, timeout: float | None) -> Message | None: ...
    def recv_text(self, timeout: float | None = None) -> str: ...
    def recv_bytes(self, timeout: float | None = None) -> bytes: ...
    def recv_many(self, max_count: int = 256, *, timeout: float | None = None) -> list[Message]: ...
    def __iter__(self) -> Iterator[Message]: ...
    def __next__(self) -> Message: ...
    def subscribe(self, topic: str | None = None, *, prefix: str | bytes | None = None) -> None: ...
    def unsubscribe(
        self, topic: str | None = None, *, prefix: str | bytes | None = None
    ) -> None: ...
    @property
    def subscriptions(self) -> list[str | bytes]: ...
    def connect(self, address: str) -> None: ...
    def disconnect(self, address: str) -> None: ...
    @property
    def endpoint(self) -> str | None: ...
    @property
    def endpoints(self) -> list[str]: ...
    @property
    def addresses(self) -> list[str]: ...
    @property
    def peers(self) -> list[Peer]: ...
    def wait_connected(self, count: int = 1, *, timeout: float | None = None) -> int: ...
    def stats(self) -> SubscriberStats: ...
    def listen(
        self,
        *,
        count: int | None = None,
        timeout: float | None = None,
        color: _Color = "auto",
        timestamps: _Timestamps = "time",
        log: Transcript | str | PathLike[str] | None = None,
    ) -> int: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def __enter__(self) -> Subscriber: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class Transcript:
    def __new__(
        cls,
        path: str | PathLike[str],
        *,
        format: _LogFormat = "text",  # noqa: A002
        sync: _LogSync = "os",
        max_bytes: int | None = None,
        keep: int = 5,
    ) -> Transcript: ...
    def write(self, message: Message) -> None: ...
    def write_many(self, messages: Iterable[Message]) -> int: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def path(self) -> str: ...
    @property
    def format(self) -> _LogFormat: ...
    @property
    def sync(self) -> _LogSync: ...
    @property
    def count(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def repaired(self) -> int: ...
    def __enter__(self) -> Transcript: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class TranscriptReader:
    def __iter__(self) -> Iterator[Message]: ...
    def __next__(self) -> Message: ...
    def _next(self, timeout: float | None) -> Message | None: ...
    @property
    def skipped(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def __enter__(self) -> TranscriptReader: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

def read_transcript(
    path: str | PathLike[str], *, follow: bool = False, rotated: bool = False
) -> TranscriptReader: ...
def transcript_line(
    message: Message,
    *,
    format: _LogFormat = "text",  # noqa: A002
) -> str: ...
def build_info() -> BuildInfo: ...
def local_addresses() -> list[LocalAddress]: ...
def parse_address(
    text: str, *, bind: bool = False
) -> tuple[Literal["tcp", "ipc", "inproc"], str, int]: ...
def sanitize(text: str) -> str: ...
def use_color(color: _Color, *, isatty: bool, jupyter: bool = False) -> bool: ...
def paint(
    text: str, *, key: str | None = None, style: Literal["dim", "bold"] | None = None
) -> str: ...
def _shutdown() -> None: ...
def _ending() -> bool: ...
def _stop_reading() -> None: ...
def _restore_message(frames: Sequence[bytes], framing: _ReadFraming, at_ns: int) -> Message: ...
def _next_event() -> tuple[Callable[[Event], object] | None, dict[str, Any]] | None: ...
