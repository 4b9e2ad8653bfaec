"""Scratch files without a name: the kernel frees them when this process ends, killed or not.

What is read of a file with direct identifiers must lie somewhere while DuckDB parses it, and a
process that is killed cannot clean up after itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PosixPath

Place = Callable[[str], Path]
"""Gives a new scratch file a place, by its name."""

_OPEN_FILES = Path("/proc/self/fd") if Path("/proc/self/fd").is_dir() else Path("/dev/fd")


class PrivateFile(PosixPath):
    """A path to an open file that has no name; gone with the last reference to the path."""

    descriptor: int | None = None

    def __del__(self) -> None:
        """Let the kernel free it."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def private_file(folder: Path) -> Path:
    """Return a new empty file on the disk of ``folder``; keep the path itself, not its text."""
    named = folder / f".private-{os.getpid()}"
    descriptor = os.open(named, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    named.unlink()
    path = PrivateFile(_OPEN_FILES / str(descriptor))
    path.descriptor = descriptor
    return path


def places(folder: Path, *, is_private: bool) -> Place:
    """Return where scratch files go: into ``folder``, or beside it without a name."""
    if is_private:
        return lambda name: private_file(folder)
    return lambda name: folder / name
