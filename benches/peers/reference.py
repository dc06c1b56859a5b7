"""The C reference: a small program on the package's own libzmq, built by Cargo on demand.

It is a separate Cargo project (`benches/reference`) that compiles the same libzmq sources with the
same compiler flags as the package. It does not use the libzmq of a distribution.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent.parent
_PROJECT = _ROOT / "benches" / "reference"
# A folder inside the package's own target directory.
_TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or _ROOT / "target") / "reference"

PROGRAM = _TARGET / "release" / ("reference.exe" if os.name == "nt" else "reference")


class BuildError(Exception):
    """The build of the reference program failed."""


def can_be_built() -> bool:
    """Whether this is a checkout on a machine with Cargo."""
    return shutil.which("cargo") is not None and (_PROJECT / "Cargo.toml").is_file()


def build() -> None:
    """Compiles the program and libzmq unless they are up to date."""
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
