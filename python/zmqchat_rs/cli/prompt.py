"""The prompt of ``zmqchat pub``, above which notices appear while a person types."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from zmqchat_rs._core import ZmqChatError, _shutdown
from zmqchat_rs._threads import start_thread
from zmqchat_rs.display.python_prompt import is_libedit

from . import output

if TYPE_CHECKING:
    from types import FrameType, ModuleType
    from typing import Any, Iterator, TextIO

_PROMPT = "Message> "
# How long a redraw waits for a notice that is being written, in seconds.
_PATIENCE = 0.5
# How often a program in the background looks whether the terminal is its own again, in seconds.
_LOOK_AGAIN = 0.2
_CHUNK = 1_024


class Prompt:
    """A line that a person types, and notices that leave it as it is."""

    def __init__(self) -> None:
        # Held by whoever writes: a notice, or the prompt itself until it stands there.
        self._writing = threading.Lock()
        self._asked = False
        self._readline: ModuleType | None = None
        # Where the prompt is drawn, and the terminal's settings while a line is edited and before:
        # readline makes its own.
        self._stream: TextIO | None = None
        self._settings: list[Any] | None = None
        self._unedited: list[Any] | None = None
        self._was_continued = False
        self._was_redrawn = False

    def notice(self, text: str) -> None:
        """Write a notice, from any thread; what is being typed goes on below it."""
        with self._writing:
            output.notice(text, being_typed=self._typed() if self._asked else "")

    def _typed(self) -> str | None:
        """The prompt and the text behind it; None where only the terminal knows that text."""
        if self._readline is None or is_libedit(self._readline):
            return None
        return f"{_PROMPT}{self._readline.get_line_buffer()}"

    def lines(self) -> Iterator[bytes]:
        """Read lines until Ctrl+D; an empty one is a slip of the finger."""
        with suppress(AttributeError):
            sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
        editing = output.is_terminal(sys.stdout)
        if editing:
            with suppress(ImportError):
                import readline  # noqa: PLC0415 - arrow keys and history for `input`

                self._readline = readline
        with self._redrawn_after_a_stop(sys.stdout if editing else sys.stderr):
            while True:
                text = self._edited() if editing else self._plain()
                if text is None:
                    break
                # Several lines can be pasted in one go.
                yield from filter(None, (_encode(line) for line in text.split("\n")))
        output.end_prompt_line()

    @contextmanager
    def _redrawn_after_a_stop(self, stream: TextIO | None) -> Iterator[None]:
        """Draw the prompt again when a shell continues this program: after Ctrl+Z and ``fg``.

        Readline leaves these signals to Python, so that its settings of the terminal are undone and
        made again here, too: not every shell does. A thread draws, because Python runs no handler
        while readline waits in a read, which a program in the background does.
        """
        main = threading.current_thread() is threading.main_thread()
        if not main or not hasattr(signal, "SIGCONT") or stream is None:
            yield
            return
        self._stream = stream
        self._unedited = _settings()
        ended = threading.Event()
        reads, writes = socket.socketpair()
        writes.settimeout(0)
        before = [
            (signal.SIGCONT, signal.signal(signal.SIGCONT, self._continued)),
            (signal.SIGTSTP, signal.signal(signal.SIGTSTP, self._stopped)),
        ]
        woken_before = signal.set_wakeup_fd(writes.fileno(), warn_on_full_buffer=False)
        thread = threading.Thread(
            target=self._draw_when_continued,
            args=(reads, ended),
            name="zmqchat-prompt",
            daemon=True,
        )
        # Where no thread starts, the prompt is not drawn again.
        with suppress(ZmqChatError):
            start_thread(thread)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken_before)
            for number, handler in before:
                signal.signal(number, handler)
            ended.set()
            writes.close()  # the end of the thread

    def _draw_when_continued(self, signals: socket.socket, ended: threading.Event) -> None:
        """Draw after each SIGCONT, once the terminal is ours; after `bg` it is the shell's."""
        with signals:
            while True:
                numbers = signals.recv(_CHUNK)
                if not numbers:
                    return
                _end_wait_for_a_key()
                if signal.SIGHUP in numbers and not ended.wait(_PATIENCE):
                    # libedit reads from a terminal that is gone without end, and Python never gets
                    # to the handler of the signal.
                    _shutdown()
                    os._exit(128 + signal.SIGHUP)
                if signal.SIGCONT not in numbers:
                    if not ended.wait(_LOOK_AGAIN):
                        _end_wait_for_a_key()
                    continue
                while not _in_foreground():
                    if ended.wait(_LOOK_AGAIN):
                        return
                self._redraw()

    def _continued(self, _number: int, _frame: FrameType | None) -> None:
        self._was_continued = True

    def _stopped(self, number: int, _frame: FrameType | None) -> None:
        """Stop as the shell asks (Ctrl+Z), with the terminal as the shell left it."""
        if self._asked:
            _apply(self._unedited)
        self._was_continued = False
        before = signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, before)
        if not self._was_continued:
            # It never stopped: no shell is there that could continue it.
            self._redraw()

    def _redraw(self) -> None:
        """Set the terminal as it was, and draw the prompt and what was typed."""
        if not self._asked or not self._writing.acquire(timeout=_PATIENCE):
            return
        try:
            typed = ""
            if self._readline is not None:
                typed = self._readline.get_line_buffer()
                self._was_redrawn = True
                _apply(self._settings)
            if self._stream is not None:
                with suppress(OSError, ValueError):
                    self._stream.write(f"\r{_PROMPT}{typed}")
                    self._stream.flush()
        finally:
            self._writing.release()

    def _edited(self) -> str | None:
        """Ask through readline, which writes the prompt by itself; None at the end of the input."""
        # Where readline does not call back once the prompt is written, a notice may precede it.
        hook = None
        if not is_libedit(self._readline):
            hook = getattr(self._readline, "set_pre_input_hook", None)
        self._writing.acquire()
        try:
            if hook is None:
                self._stands()
            else:
                hook(self._is_edited)
            return input(_PROMPT)
        except EOFError:
            return None
        finally:
            if hook is not None:
                hook(None)
            if self._asked:
                # A redraw that has begun ends first.
                self._writing.acquire()
            self._asked = False
            if self._was_redrawn and _in_foreground():
                # It may have set the terminal after readline had set it back.
                _apply(self._unedited)
            self._was_redrawn = False
            self._writing.release()

    def _is_edited(self) -> None:
        """Remember the settings that readline has made; called once it has drawn the prompt."""
        self._settings = _settings()
        self._stands()

    def _stands(self) -> None:
        """Let notices through: they find the prompt there."""
        if not self._asked:
            self._asked = True
            self._writing.release()

    def _plain(self) -> str | None:
        """Ask on stderr, where stdout goes elsewhere; None at the end of the input."""
        try:
            with self._writing:
                sys.stderr.write(_PROMPT)
                sys.stderr.flush()
                self._asked = True
            return sys.stdin.readline() or None
        finally:
            self._asked = False


def _end_wait_for_a_key() -> None:
    """Have CPython's `input` check for signals.

    It overlooks one that arrives between its last check and its wait for a key. The signal of a
    resized window ends that wait, and changes nothing else.
    """
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGWINCH)


def _settings() -> list[Any] | None:
    """Read the terminal's settings; None where there is none."""
    try:
        import termios  # noqa: PLC0415 - Windows has none
    except ImportError:
        return None
    try:
        return termios.tcgetattr(sys.stdin.fileno())
    except (OSError, ValueError, termios.error):
        return None


def _apply(settings: list[Any] | None) -> None:
    """Set the terminal; nothing happens without settings."""
    if settings is not None:
        import termios  # noqa: PLC0415 - there are settings, so there is the module

        with suppress(OSError, ValueError, termios.error):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, settings)


def _in_foreground() -> bool:
    """Whether the terminal is ours, and not a shell's that runs us in the background."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return True


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode(sys.stdin.encoding, "surrogateescape")
