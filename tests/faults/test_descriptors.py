"""Descriptors run out: an error, never the end of the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

resource = pytest.importorskip("resource", reason="limits are set as Unix does")

# Opens until there are no descriptors left, under several limits: in the middle of which call they
# end depends on the remainder.
PROGRAM = """
import resource, sys
import zmqchat_rs as z

makers = {
    "Publisher": lambda: z.Publisher("127.0.0.1:0"),
    "Subscriber": lambda: z.Subscriber(bind="127.0.0.1:0"),
    "Relay": lambda: z.Relay("127.0.0.1:0", backend="127.0.0.1:0"),
    "Chat": lambda: z.Chat("alice", bind="127.0.0.1:0"),
}
make, limit = makers[sys.argv[1]], int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
opened = []
try:
    while True:
        opened.append(make())
except z.ZmqChatError as error:
    print(error)
for one in opened:
    one.close()
"""
# Below, not even Python's own modules load.
LIMITS = range(10, 76)


@pytest.mark.parametrize("kind", ["Publisher", "Subscriber", "Relay", "Chat"])
def test_a_program_without_descriptors_gets_an_error_and_lives(kind: str) -> None:
    for limit in LIMITS:
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM, kind, str(limit)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, ""), (limit, ended.stderr[-500:])
        assert "Too many open files" in ended.stdout, (limit, ended.stdout)
