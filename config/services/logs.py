"""Rotated log files, written by the runner from what its children print."""

import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LIMIT_BYTES = 10 * 1024 * 1024
KEPT_FILES = 3
TAIL_LINES = 12


class RotatedLog:
    """`name.log`, then `name.log.1` and so on. A full disk loses lines and never stops the runner."""

    def __init__(self, path: Path, *, limit: int = LIMIT_BYTES, kept: int = KEPT_FILES) -> None:
        self.path = path
        self.limit = limit
        self.kept = kept
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._partial = b""
        self._handle: BinaryIO | None = None
        self._size = 0

    def write(self, data: bytes) -> None:
        self._remember(data)
        try:
            if self._handle is None:
                self._open()
            elif self._size + len(data) > self.limit:
                self._rotate()
            assert self._handle is not None
            self._handle.write(data)
            self._size += len(data)
        except OSError:
            self.close()

    def close(self) -> None:
        if self._handle is not None:
            with suppress(OSError):
                self._handle.close()
            self._handle = None

    def _remember(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        self._partial = self._partial[-4096:]
        self.tail.extend(line.decode("utf-8", "replace") for line in lines if line.strip())

    def _open(self) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._handle = os.fdopen(descriptor, "ab", buffering=0)
        self._size = self._handle.tell() or self.path.stat().st_size

    def _rotate(self) -> None:
        self.close()
        for number in range(self.kept - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            if older.exists():
                older.replace(self.path.with_name(f"{self.path.name}.{number + 1}"))
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self._open()
