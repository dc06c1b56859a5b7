"""A process that is stopped and continued by signals."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Iterator

if TYPE_CHECKING:
    from tests.helpers.scripts import Script


@contextmanager
def stopped(script: Script) -> Iterator[None]:
    """Stop the script during the block; its connections stay established."""
    os.kill(script.pid, signal.SIGSTOP)
    try:
        # Returns once it has stopped.
        _, status = os.waitpid(script.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        yield
    finally:
        os.kill(script.pid, signal.SIGCONT)
