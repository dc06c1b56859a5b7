"""Every local time has the offset that `time.localtime` gives."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.scripts import RunPython

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no time.tzset on Windows")

_PROGRAM = """
import os, sys, time
from datetime import datetime, timezone
from zmqchat_rs import Message, Transcript

at = datetime(2026, 1, 31, 12, 3, 11, tzinfo=timezone.utc)
message = Message([b"room1:Hello"], received_at=at)
with Transcript(sys.argv[1]) as transcript:
    for zone in sys.argv[2:]:
        os.environ["TZ"] = zone
        time.tzset()
        transcript.write(message)
        local = time.localtime(at.timestamp())
        assert message.received_at.utcoffset().total_seconds() == local.tm_gmtoff, zone
        clock = time.strftime("%H:%M:%S", local)
        assert clock in message.render(color=False), (zone, message.render(color=False))
        print(time.strftime("%Y-%m-%dT%H:%M:%S.000000", local), local.tm_gmtoff)
"""

_ZONES = [
    "UTC",
    "Europe/Berlin",
    "CET-1CEST",
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "<+0545>-5:45",
    "EST5EDT",
    "UTC",
]


def test_a_new_time_zone_applies_to_the_next_line(run_python: RunPython, tmp_path: Path) -> None:
    """It applies to transcripts, printed lines and attributes, also in zones without a rule."""
    log = tmp_path / "chat.log"
    finished = run_python(_PROGRAM, str(log), *_ZONES)
    assert finished.code == 0, finished
    lines = log.read_text(encoding="utf-8").splitlines()
    wanted = []
    for line in finished.stdout.splitlines():
        time, offset = line.split()
        sign, seconds = "-" if offset.startswith("-") else "+", abs(int(offset))
        wanted.append(f"{time}{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}")
    assert len(wanted) == len(_ZONES)
    assert [line.split()[0].rstrip(":") for line in lines] == wanted
