"""Another process, stopped and continued by signals."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Iterator

if TYPE_CHECKING:
    from tests.helpers.scripts import Script


@contextmanager
def stopped(script: Script) -> Iterator[None]:
    """The script does nothing at all meanwhile; the connections of a stopped process stand."""
    os.kill(script.pid, signal.SIGSTOP)
    try:
        # Returns when it has in fact stopped.
        _, status = os.waitpid(script.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        yield
    finally:
        os.kill(script.pid, signal.SIGCONT)
