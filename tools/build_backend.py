"""The build backend: maturin's, after a check of the tools that a source build needs.

Without this check a missing compiler causes a page of a build script's output after a minute,
and an old Cargo an error about the version of a lock file. pip calls these functions
(PEP 517, PEP 660).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import maturin
from maturin import (
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

_ROOT = Path(__file__).resolve().parent.parent
_RUSTUP = "get it from https://rustup.rs, or with conda: conda install -c conda-forge rust"
_COMPILERS = (
    "on Debian and Ubuntu: apt install build-essential; on macOS: xcode-select --install; "
    "with conda: conda install -c conda-forge compilers"
)


def _oldest_rust() -> tuple[int, ...]:
    """The version that Cargo.toml names in `rust-version`."""
    text = (_ROOT / "Cargo.toml").read_text(encoding="utf-8")
    found = re.search(r'^rust-version = "([0-9.]+)"', text, re.MULTILINE)
    if found is None:
        raise RuntimeError("Cargo.toml has no rust-version")
    return tuple(int(part) for part in found[1].split("."))


def _version(program: str) -> tuple[int, ...] | None:
    """The version that `rustc` or `cargo` prints; None if it does not run."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, check=False)
    except OSError:
        return None
    found = re.search(rb"^\w+ (\d+)\.(\d+)", done.stdout)
    return None if found is None else (int(found[1]), int(found[2]))


def _written(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def missing_tools() -> list[str]:
    """One sentence for each tool that is missing or too old; empty if the build can start."""
    oldest = _oldest_rust()
    sentences = []
    for name in ("rustc", "cargo"):
        program = os.environ.get(name.upper(), name)
        version = _version(program)
        if version is None:
            sentences.append(
                f"{name} is missing: Rust {_written(oldest)} or later compiles this package; "
                f"{_RUSTUP}."
            )
        elif version < oldest:
            sentences.append(
                f"{name} {_written(version)} ({shutil.which(program)}) is too old: Rust "
                f"{_written(oldest)} or later is needed; {_RUSTUP}."
            )
    if sys.platform != "win32":
        for language, variable, usual, library in (
            ("C", "CC", "cc", "libsodium"),
            ("C++", "CXX", "c++", "libzmq"),
        ):
            compiler = (os.environ.get(variable, "").split() or [usual])[0]
            if shutil.which(compiler) is None:
                sentences.append(
                    f"The {language} compiler {compiler} is missing: {library} is compiled with "
                    f"it; {_COMPILERS}."
                )
    return sentences


def _check() -> None:
    sentences = missing_tools()
    if sentences:
        # pip prints what a backend writes to stderr below its own error.
        sys.exit("\n".join(["zmqchat_rs cannot be built here.", *sentences]))


def prepare_metadata_for_build_wheel(*arguments: object, **options: object) -> str:
    """Check the tools first: pip asks for the metadata first."""
    _check()
    return str(maturin.prepare_metadata_for_build_wheel(*arguments, **options))


def build_wheel(*arguments: object, **options: object) -> str:
    """Build the wheel."""
    _check()
    return str(maturin.build_wheel(*arguments, **options))


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def build_editable(*arguments: object, **options: object) -> str:
    """Build the wheel of an editable installation."""
    _check()
    return str(maturin.build_editable(*arguments, **options))
