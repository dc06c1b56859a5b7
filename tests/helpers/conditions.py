"""Conditions under which tests of faults run."""

from __future__ import annotations

import os
import sys

import pytest

#: `ZMQCHAT_TEST_LONG=1 pytest tests/faults` runs the long tests as well.
LONG = os.environ.get("ZMQCHAT_TEST_LONG", "") not in {"", "0"}

only_long = pytest.mark.skipif(not LONG, reason="takes long: set ZMQCHAT_TEST_LONG=1")
only_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="/proc counts descriptors and threads on Linux"
)
