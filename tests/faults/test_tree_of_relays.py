"""Two levels of relays: one relay forwards to two relays; each runs on its own host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import network_namespaces

ROOT = Path(__file__).resolve().parents[2]

_MISSING = network_namespaces.missing()
pytestmark = [
    pytest.mark.skipif(_MISSING is not None, reason=str(_MISSING)),
    pytest.mark.skipif(not (ROOT / "benches" / "scale.py").is_file(), reason="needs benches/"),
]


def test_each_subscriber_behind_two_levels_of_relays_receives_each_message_once(
    tmp_path: Path,
) -> None:
    figures = tmp_path / "figures.json"
    sizes = {"rooms": 2, "each": 10, "messages": 2_000, "delays": 40, "slow": 0}
    options = [word for name, size in sizes.items() for word in (f"--{name}", str(size))]
    finished = subprocess.run(
        [sys.executable, "-m", "benches.scale", *options, "--json", str(figures)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    found = json.loads(figures.read_text())
    for name, count in (("stream", 2_000), ("stream_1_kib", 1_000)):
        stream = found[name]
        assert stream["exact"], stream
        assert (stream["subscribers"], stream["deliveries"]) == (20, 20 * count)
        assert (stream["lost"], stream["duplicates"]) == (0, 0)
    assert [found["delay_ms_by_relays"][hops]["count"] for hops in "012"] == [40, 40, 40]
