"""Prints and logs received messages, for `Subscriber.listen` and the command line.

Rust only renders lines, and Python prints them: ``sys.stdout`` may be a notebook cell, a file or a
test's buffer, and may change between two messages.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING

from zmqchat_rs._core import ClosedError, Message, Transcript, ZmqChatError, use_color
from zmqchat_rs._validation import seconds

from .terminal import columns_of, wants_color, write_line

if TYPE_CHECKING:
    from os import PathLike
    from typing import Callable, TextIO

    from zmqchat_rs._core import Subscriber

    from .terminal import Color, Timestamps

# The number of messages that are received and written at a time.
_BATCH = 256
# The number of queued messages that are printed after the timeout: the default length of a queue.
# Without this limit, a fast publisher would prevent the end.
_AFTER_TIMEOUT = 10_000


def listen(  # noqa: PLR0913
    subscriber: Subscriber,
    *,
    count: int | None,
    timeout: float | None,
    color: Color,
    timestamps: Timestamps,
    log: Transcript | str | PathLike[str] | None,
) -> int:
    """Print messages to ``sys.stdout`` until the count, the timeout, Ctrl+C or a `close`.

    Args:
        subscriber: The source of the messages.
        count: The number of messages to print; None for no limit.
        timeout: Seconds for the whole call; None for no limit, 0 for the queued messages.
        color: Whether to colour, decided again whenever ``sys.stdout`` changes.
        timestamps: The time before each line.
        log: An open transcript, or the path of a new one, for the same messages; None for no log.

    Returns:
        The number of printed messages.

    Raises:
        ClosedError: If the subscriber was closed before the call.
    """
    sink: Sink = Lines(color=color, timestamps=timestamps)
    was_closed = subscriber.closed
    with ExitStack() as opened:
        if log is not None:
            if not isinstance(log, Transcript):
                log = opened.enter_context(Transcript(log))
            sink = Logged(sink, log)
        try:
            deliver(subscriber, sink, count=count, timeout=timeout)
        except KeyboardInterrupt:
            sink.flush()
        except ClosedError:
            sink.flush()
            if was_closed:
                raise
    return sink.shown


class Sink:
    """A destination of messages.

    Attributes:
        shown: The number of messages so far.
    """

    shown = 0

    def show(self, message: Message) -> None:
        """Write one message; it may stay in a buffer until `flush`."""
        raise NotImplementedError

    def show_waiting(self, subscriber: Subscriber, most: int) -> int:
        """Write up to `most` queued messages; return their number.

        After an exception, messages that were not written are still queued.
        """
        del most
        while True:
            message = subscriber._next(timeout=0)  # noqa: SLF001
            if message is None:
                return 0
            if not message._is_presence:  # noqa: SLF001
                self.show(message)
                return 1

    def flush(self) -> None:
        """Flush the output."""
        if sys.stdout is not None:
            sys.stdout.flush()


class Lines(Sink):
    """Prints rendered lines to ``sys.stdout``, which may change at any time."""

    def __init__(self, *, color: Color, timestamps: Timestamps) -> None:
        # Raise for invalid arguments now, not at the first message.
        use_color(color, isatty=False)
        Message([b""]).render(timestamps=timestamps)
        self._color = color
        self._timestamps = timestamps
        self._stream: TextIO | None = None
        self._colored = False
        self._terminal = False
        self._previous: Message | None = None

    def show_waiting(self, subscriber: Subscriber, most: int) -> int:
        """Print queued messages with one write."""
        stream = self.current_stream()
        if stream is None:
            return super().show_waiting(subscriber, most)
        return self.print_waiting(subscriber, most, stream, log=None)[0]

    def print_waiting(
        self, subscriber: Subscriber, most: int, stream: TextIO, *, log: Transcript | None
    ) -> tuple[int, ZmqChatError | None]:
        """Print and log queued messages; return their number and the error of the log."""
        count, last, error = subscriber._write_lines(  # noqa: SLF001
            stream,
            most=most,
            color=self._colored,
            timestamps=self._timestamps,
            width=self._width(stream),
            previous=self._previous,
            log=log,
        )
        if last is not None:
            self._previous = last
        self.shown += count
        return count, error

    def current_stream(self) -> TextIO | None:
        """The current ``sys.stdout``; None if there is none."""
        stream = sys.stdout
        if stream is not None and stream is not self._stream:
            self._stream = stream
            self._colored = wants_color(stream, self._color)
            self._terminal = columns_of(stream) is not None
        return stream

    def _width(self, stream: TextIO) -> int | None:
        """The current width of the terminal; None for other streams."""
        return columns_of(stream) if self._terminal else None

    def show(self, message: Message) -> None:
        """Print one message."""
        stream = self.current_stream()
        if stream is not None:
            line = message.render(
                color=self._colored,
                timestamps=self._timestamps,
                previous=self._previous,
                width=self._width(stream),
            )
            write_line(stream, line)
        self._previous = message
        self.shown += 1


class Logged(Sink):
    """Writes messages to a transcript, and to another sink.

    A message that cannot be logged, for example on a full disk, is still shown. The first failure
    is reported.
    """

    def __init__(
        self, sink: Sink, log: Transcript, *, warn: Callable[[str], object] | None = None
    ) -> None:
        """Log to `log`; report failures with `warn`, or with ``logging`` if it is None."""
        self._sink = sink
        self._log = log
        self._warn = warn
        self._failing = False

    def show(self, message: Message) -> None:
        """Log one message, and write it to the other sink."""
        try:
            self._log.write(message)
        except ZmqChatError as error:
            self._report(error)
        else:
            self._failing = False
        self._sink.show(message)
        self.shown = self._sink.shown

    def show_waiting(self, subscriber: Subscriber, most: int) -> int:
        """Log and write queued messages; logged messages are no longer queued."""
        stream = self._sink.current_stream() if isinstance(self._sink, Lines) else None
        if not isinstance(self._sink, Lines) or stream is None:
            return super().show_waiting(subscriber, most)
        count, error = self._sink.print_waiting(subscriber, most, stream, log=self._log)
        self.shown = self._sink.shown
        if error is not None:
            self._report(error)
        elif count:
            self._failing = False
        return count

    def _report(self, error: ZmqChatError) -> None:
        if not self._failing:
            text = f"not logged: {error.strerror}"
            if self._warn is not None:
                self._warn(text)
            else:
                import logging  # noqa: PLC0415 - rarely needed

                logging.getLogger("zmqchat_rs").warning("%s", text)
        self._failing = True

    def flush(self) -> None:
        """Flush the other sink."""
        self._sink.flush()


def deliver(
    subscriber: Subscriber, sink: Sink, *, count: int | None, timeout: float | None
) -> None:
    """Write messages to `sink`, until `count` messages or `timeout` seconds.

    The sink is flushed when the queue is empty. Presence of a chat is skipped. After an exception,
    messages that were not written are still queued.
    """
    if count is not None and count < 0:
        raise ValueError(f"count is {count}: use 0 or more, or None for no limit")
    timeout = seconds("timeout", timeout)
    deadline = None if timeout is None else monotonic() + timeout
    overtime = 0
    while count is None or sink.shown < count:
        shown = sink.show_waiting(
            subscriber, _BATCH if count is None else min(_BATCH, count - sink.shown)
        )
        if not shown:
            sink.flush()
            remaining = None if deadline is None else deadline - monotonic()
            if remaining is not None and remaining <= 0:
                return
            # `_next` raises no TimeoutError: one that is raised here is of a signal handler.
            message = subscriber._next(timeout=remaining)  # noqa: SLF001
            if message is None:
                return
            shown = 1
            if not message._is_presence:  # noqa: SLF001
                sink.show(message)
        if deadline is not None and monotonic() >= deadline:
            overtime += shown
            if overtime >= _AFTER_TIMEOUT:
                break
    sink.flush()
