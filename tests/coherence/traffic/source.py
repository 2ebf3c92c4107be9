"""The source of truth behind the caches of a run: one version per key, seen by every process of this host."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from pathlib import Path
from typing import Final

_ONE: Final = struct.Struct("=Q")


class Source:
    """A mapped file of 8-byte counters. A read is one aligned load, a commit holds the file's lock."""

    def __init__(self, path: Path, keys: int) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)
        if os.fstat(self._file).st_size < keys * _ONE.size:
            os.ftruncate(self._file, keys * _ONE.size)
        self._map = mmap.mmap(self._file, keys * _ONE.size)

    def read(self, index: int) -> int:
        """The version of a key that is current now."""
        version: int = _ONE.unpack_from(self._map, index * _ONE.size)[0]
        return version

    def commit(self, index: int) -> int:
        """Make and return the next version of a key."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            version = self.read(index) + 1
            _ONE.pack_into(self._map, index * _ONE.size, version)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
        return version

    def close(self) -> None:
        """Unmap. Idempotent."""
        if self._file >= 0:
            self._map.close()
            os.close(self._file)
            self._file = -1
