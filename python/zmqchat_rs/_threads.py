"""How the package starts its threads that run Python code."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from ._core import ZmqChatError

if TYPE_CHECKING:
    import threading


def start_thread(thread: threading.Thread) -> None:
    """Start a thread.

    Args:
        thread: The thread, not started yet.

    Raises:
        ZmqChatError: If the system starts no further thread.
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise ZmqChatError(
            errno.EAGAIN,
            f"cannot start the thread {thread.name}: {error}; close what you no longer need, or "
            "raise the limit (ulimit -u, or the container's limit of pids)",
        ) from error
