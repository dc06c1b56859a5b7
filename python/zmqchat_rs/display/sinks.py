"""Messages onto the screen: the body of `Subscriber.listen`, shared with ``zmqchat sub``.

Python prints and Rust only renders, because ``sys.stdout`` may be a notebook cell, a file or a
test's buffer, and may be another one for the next message.
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

# How many messages are taken at a time: one write for all of them.
_BATCH = 256
# How many of the messages that were waiting when the time ran out are still shown: what a queue
# holds unless asked otherwise. Without a limit a fast publisher would never let go.
_LAST_LOOK = 10_000


def listen(  # noqa: PLR0913
    subscriber: Subscriber,
    *,
    count: int | None,
    timeout: float | None,
    color: Color,
    timestamps: Timestamps,
    log: Transcript | str | PathLike[str] | None,
) -> int:
    """Print messages to ``sys.stdout`` until the count, the time, Ctrl+C or a `close` ends it.

    Args:
        subscriber: Where the messages come from.
        count: How many to print at most; None for no limit.
        timeout: Seconds for the whole call; None for no limit, 0 for what is waiting now.
        color: Whether to colour, decided anew for each stream that ``sys.stdout`` becomes.
        timestamps: What stands before each line.
        log: Where to keep them, too: a transcript, which stays open, or the path of one; None for
            nowhere.

    Returns:
        How many were printed.

    Raises:
        ClosedError: The subscriber was closed before the call.
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
    """Where messages go, one by one.

    Attributes:
        shown: How many have gone there.
    """

    shown = 0

    def show(self, message: Message) -> None:
        """Put one message out; it may wait in a buffer for `flush`."""
        raise NotImplementedError

    def show_waiting(self, subscriber: Subscriber, most: int) -> int:
        """Put out what is waiting, at most so many messages; give how many, 0 where none is.

        What an exception keeps from being put out is still waiting then.
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
        """Let everything shown so far be seen."""
        if sys.stdout is not None:
            sys.stdout.flush()


class Lines(Sink):
    """Rendered lines on ``sys.stdout``, whatever that is when a message comes."""

    def __init__(self, *, color: Color, timestamps: Timestamps) -> None:
        # A misspelt choice is reported now, not when the first message comes.
        use_color(color, isatty=False)
        Message([b""]).render(timestamps=timestamps)
        self._color = color
        self._timestamps = timestamps
        self._stream: TextIO | None = None
        self._colored = False
        self._terminal = False
        self._previous: Message | None = None

    def show_waiting(self, subscriber: Subscriber, most: int) -> int:
        """Print what is waiting, with one write."""
        stream = self.current_stream()
        if stream is None:
            return super().show_waiting(subscriber, most)
        return self.print_waiting(subscriber, most, stream, log=None)[0]

    def print_waiting(
        self, subscriber: Subscriber, most: int, stream: TextIO, *, log: Transcript | None
    ) -> tuple[int, ZmqChatError | None]:
        """Print what is waiting, with one write, and log it; give how many, and the log's error."""
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
        """What ``sys.stdout`` is now; None where there is none."""
        stream = sys.stdout
        if stream is not None and stream is not self._stream:
            self._stream = stream
            self._colored = wants_color(stream, self._color)
            self._terminal = columns_of(stream) is not None
        return stream

    def _width(self, stream: TextIO) -> int | None:
        """The terminal's width now, after a resize as well; None for anything else."""
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
    """Into a transcript, then on to another sink.

    A disk that is full must not end the chat: what cannot be logged is told once, and shown.
    """

    def __init__(
        self, sink: Sink, log: Transcript, *, warn: Callable[[str], object] | None = None
    ) -> None:
        """Log into `log`; `warn` tells people what failed, None leaves that to ``logging``."""
        self._sink = sink
        self._log = log
        self._warn = warn
        self._failing = False

    def show(self, message: Message) -> None:
        """Log one message and put it out."""
        try:
            self._log.write(message)
        except ZmqChatError as error:
            self._tell(error)
        else:
            self._failing = False
        self._sink.show(message)
        self.shown = self._sink.shown

    def show_waiting(self, subscriber: Subscriber, most: int) -> int:
        """Log and put out what is waiting; what was logged is not waiting any more."""
        stream = self._sink.current_stream() if isinstance(self._sink, Lines) else None
        if not isinstance(self._sink, Lines) or stream is None:
            return super().show_waiting(subscriber, most)
        count, error = self._sink.print_waiting(subscriber, most, stream, log=self._log)
        self.shown = self._sink.shown
        if error is not None:
            self._tell(error)
        elif count:
            self._failing = False
        return count

    def _tell(self, error: ZmqChatError) -> None:
        if not self._failing:
            text = f"not logged: {error.strerror}"
            if self._warn is not None:
                self._warn(text)
            else:
                import logging  # noqa: PLC0415 - most programs need it for nothing else

                logging.getLogger("zmqchat_rs").warning("%s", text)
        self._failing = True

    def flush(self) -> None:
        """Let everything shown so far be seen."""
        self._sink.flush()


def deliver(
    subscriber: Subscriber, sink: Sink, *, count: int | None, timeout: float | None
) -> None:
    """Hand messages to `sink` until it has `count` of them or `timeout` seconds are over.

    It flushes whenever nothing more is waiting, and passes over a chat's presence. An exception
    leaves the messages that were not put out where they are.
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
            # No TimeoutError of ours: one that comes up here is that of a signal's handler.
            message = subscriber._next(timeout=remaining)  # noqa: SLF001
            if message is None:
                return
            shown = 1
            if not message._is_presence:  # noqa: SLF001
                sink.show(message)
        if deadline is not None and monotonic() >= deadline:
            overtime += shown
            if overtime >= _LAST_LOOK:
                break
    sink.flush()
