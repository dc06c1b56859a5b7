"""``zmqchat`` and ``python -m zmqchat_rs``: the command line, quiet while it is being loaded."""

from __future__ import annotations

import sys


def main() -> int:
    """Load the command line, and run what was typed.

    Returns:
        The exit code.
    """
    try:
        from .cli.main import main as run  # noqa: PLC0415 - a Ctrl+C meanwhile is no news for anybody
    except KeyboardInterrupt:
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
