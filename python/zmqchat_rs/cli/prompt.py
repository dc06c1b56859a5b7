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
# Seconds that a redraw waits for a notice that is being printed.
_REDRAW_TIMEOUT = 0.5
# Seconds between two checks, in the background, for the return to the foreground.
_POLL_INTERVAL = 0.2
_CHUNK = 1_024


class Prompt:
    """Reads lines from a person; notices do not disturb the typed text."""

    def __init__(self) -> None:
        # Held while a notice is printed, and until the prompt is drawn.
        self._writing = threading.Lock()
        self._prompting = False
        self._readline: ModuleType | None = None
        # The stream of the prompt, and the terminal's settings while readline edits a line, and
        # before.
        self._stream: TextIO | None = None
        self._settings: list[Any] | None = None
        self._original_settings: list[Any] | None = None
        self._was_continued = False
        self._was_redrawn = False

    def notice(self, text: str) -> None:
        """Print a notice, from any thread; the prompt and the typed text follow below it."""
        with self._writing:
            output.notice(text, being_typed=self._typed() if self._prompting else "")

    def _typed(self) -> str | None:
        """The prompt and the typed text; None if only the terminal knows this text."""
        if self._readline is None or is_libedit(self._readline):
            return None
        return f"{_PROMPT}{self._readline.get_line_buffer()}"

    def lines(self) -> Iterator[bytes]:
        """Yield typed lines until Ctrl+D, without empty ones."""
        with suppress(AttributeError):
            sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
        editing = output.is_terminal(sys.stdout)
        if editing:
            with suppress(ImportError):
                import readline  # noqa: PLC0415 - arrow keys and history for `input`

                self._readline = readline
        with self._redrawn_after_a_stop(sys.stdout if editing else sys.stderr):
            while True:
                text = self._read_edited() if editing else self._read_plain()
                if text is None:
                    break
                # A pasted text can have several lines.
                yield from filter(None, (_encode(line) for line in text.split("\n")))
        output.end_prompt_line()

    @contextmanager
    def _redrawn_after_a_stop(self, stream: TextIO | None) -> Iterator[None]:
        """Draw the prompt again after Ctrl+Z and ``fg``.

        Readline leaves these signals to Python, so this module also resets and restores the
        terminal's settings, which not every shell does. A thread draws the prompt, because Python
        runs no signal handler while readline waits in a read, as a program in the background does.
        """
        main = threading.current_thread() is threading.main_thread()
        if not main or not hasattr(signal, "SIGCONT") or stream is None:
            yield
            return
        self._stream = stream
        self._original_settings = _settings()
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
        # Without a thread, the prompt is not drawn again.
        with suppress(ZmqChatError):
            start_thread(thread)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken_before)
            for number, handler in before:
                signal.signal(number, handler)
            ended.set()
            writes.close()  # ends the thread

    def _draw_when_continued(self, signals: socket.socket, ended: threading.Event) -> None:
        """Draw the prompt after each SIGCONT, as soon as this program is in the foreground."""
        with signals:
            while True:
                numbers = signals.recv(_CHUNK)
                if not numbers:
                    return
                _end_wait_for_a_key()
                if signal.SIGHUP in numbers and not ended.wait(_REDRAW_TIMEOUT):
                    # libedit reads forever from a closed terminal, and Python never runs the
                    # handler of the signal.
                    _shutdown()
                    os._exit(128 + signal.SIGHUP)
                if signal.SIGCONT not in numbers:
                    if not ended.wait(_POLL_INTERVAL):
                        _end_wait_for_a_key()
                    continue
                while not _in_foreground():
                    if ended.wait(_POLL_INTERVAL):
                        return
                self._redraw()

    def _continued(self, _number: int, _frame: FrameType | None) -> None:
        self._was_continued = True

    def _stopped(self, number: int, _frame: FrameType | None) -> None:
        """Stop on Ctrl+Z, with the terminal's original settings."""
        if self._prompting:
            _apply(self._original_settings)
        self._was_continued = False
        before = signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, before)
        if not self._was_continued:
            # The program was not stopped, because no shell could continue it.
            self._redraw()

    def _redraw(self) -> None:
        """Restore the terminal's settings, and draw the prompt and the typed text."""
        if not self._prompting or not self._writing.acquire(timeout=_REDRAW_TIMEOUT):
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

    def _read_edited(self) -> str | None:
        """Read a line with readline, which draws the prompt; None at the end of the input."""
        # Without a hook that readline calls after it has drawn the prompt, a notice may precede it.
        hook = None
        if not is_libedit(self._readline):
            hook = getattr(self._readline, "set_pre_input_hook", None)
        self._writing.acquire()
        try:
            if hook is None:
                self._allow_notices()
            else:
                hook(self._on_prompt_drawn)
            return input(_PROMPT)
        except EOFError:
            return None
        finally:
            if hook is not None:
                hook(None)
            if self._prompting:
                # Wait for a redraw in progress.
                self._writing.acquire()
            self._prompting = False
            if self._was_redrawn and _in_foreground():
                # The redraw may have changed the settings after readline had restored them.
                _apply(self._original_settings)
            self._was_redrawn = False
            self._writing.release()

    def _on_prompt_drawn(self) -> None:
        """Save the settings of readline, which calls this when it has drawn the prompt."""
        self._settings = _settings()
        self._allow_notices()

    def _allow_notices(self) -> None:
        """Allow notices from now on: they are printed above the prompt."""
        if not self._prompting:
            self._prompting = True
            self._writing.release()

    def _read_plain(self) -> str | None:
        """Read a line with a prompt on stderr; None at the end of the input."""
        try:
            with self._writing:
                sys.stderr.write(_PROMPT)
                sys.stderr.flush()
                self._prompting = True
            return sys.stdin.readline() or None
        finally:
            self._prompting = False


def _end_wait_for_a_key() -> None:
    """Have CPython's `input` check for signals.

    It misses a signal between its last check and its wait for a key. SIGWINCH, the signal of a
    resized window, ends that wait and has no other effect.
    """
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGWINCH)


def _settings() -> list[Any] | None:
    """Read the terminal's settings; None without a terminal."""
    try:
        import termios  # noqa: PLC0415 - Windows has none
    except ImportError:
        return None
    try:
        return termios.tcgetattr(sys.stdin.fileno())
    except (OSError, ValueError, termios.error):
        return None


def _apply(settings: list[Any] | None) -> None:
    """Apply settings to the terminal; None changes nothing."""
    if settings is not None:
        import termios  # noqa: PLC0415 - `_settings` has imported it

        with suppress(OSError, ValueError, termios.error):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, settings)


def _in_foreground() -> bool:
    """Whether this program is in the foreground of its terminal."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return True


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode(sys.stdin.encoding, "surrogateescape")
