"""``zmqchat`` and ``python -m zmqchat_rs``: the entry of the command line."""

from __future__ import annotations

import sys


def main() -> int:
    """Load the command line and run it; Ctrl+C while it loads prints no traceback.

    Returns:
        The exit code.
    """
    try:
        from .cli.main import main as run  # noqa: PLC0415 - may be interrupted
    except KeyboardInterrupt:
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
