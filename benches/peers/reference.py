"""The C reference: a small program on the package's own libzmq, built by Cargo when it is needed.

It is a Cargo project of its own (`benches/reference`), so that its libzmq is the same sources with
the same compiler flags as the package's, and nobody's distribution comes in between.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent.parent
_PROJECT = _ROOT / "benches" / "reference"
# Beside what Cargo keeps for the package itself, wherever that is.
_TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or _ROOT / "target") / "reference"

PROGRAM = _TARGET / "release" / ("reference.exe" if os.name == "nt" else "reference")


class BuildError(Exception):
    """It could not be built."""


def can_be_built() -> bool:
    """Whether this is a checkout on a machine with Cargo."""
    return shutil.which("cargo") is not None and (_PROJECT / "Cargo.toml").is_file()


def build() -> None:
    """Compiles it, libzmq included, unless that was done before."""
    outcome = subprocess.run(
        ["cargo", "build", "--release", "--locked", "--manifest-path", _PROJECT / "Cargo.toml"],
        env={**os.environ, "CARGO_TARGET_DIR": str(_TARGET)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if outcome.returncode != 0:
        raise BuildError(outcome.stderr.strip()[-2000:])
