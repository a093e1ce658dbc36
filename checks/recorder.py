"""The live log of one attempt: masks, cuts into lines, commits under the token, and only then rings the doorbell.

One thread does all of it, so that lines keep their order. Children write to append-only files below SPOOL_ROOT and
never wait for anybody; the thread reads on every 20 ms. While PostgreSQL is away it reads no further, so nothing
piles up in memory and nothing is lost.
"""

import hashlib
import io
import logging
import os
import queue
import shlex
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import connection

from checks import salvage
from checks.enums import LineKind
from checks.errors import CheckError, Fenced
from checks.lease import CONNECTION_LOST, Lease
from checks.lines import LineCutter, printable
from checks.masking import Masker, Vocabulary
from releases import doorbell

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.02
READ_BYTES = 256 * 1024
CHUNK_LINES = 2000
CHUNK_BYTES = 256 * 1024
#: For the number of lines that came before a file: its room is taken when the file is made.
_COUNT_WIDTH = 20
#: A larger body is not sent with the ring; watchers read it from PostgreSQL.
RING_BYTES = 48 * 1024
#: After Redis did not hear, it is left alone this long, so that a dead doorbell never slows the log.
DEAF_SECONDS = 2.0

APPEND = """
WITH moved AS (
    UPDATE checks_run SET log_lines = log_lines + %(lines)s, log_bytes = log_bytes + %(bytes)s
    WHERE id = %(run)s AND token = %(token)s AND state = 'running' AND log_lines = %(first)s - 1
    RETURNING id
)
INSERT INTO checks_logchunk
    (run_id, attempt, first_line, lines, bytes, sha256, token, body, stamps, kinds, committed_at)
SELECT id, %(attempt)s, %(first)s, %(lines)s, %(bytes)s, %(sha256)s, %(token)s, %(body)s, %(stamps)s::bigint[],
    %(kinds)s, clock_timestamp()
FROM moved
"""


@dataclass
class Spool:
    """One append-only file that a child writes and the recorder reads."""

    path: Path
    reader: IO[bytes]
    masker: Masker
    cutter: LineCutter = field(default_factory=LineCutter)
    done: threading.Event = field(default_factory=threading.Event)

    def open_for_child(self) -> int:
        """A descriptor for the child's stdout and stderr; the caller closes it."""
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


@dataclass(frozen=True)
class Line:
    stamp: int
    kind: str
    text: str


class Recorder:
    """The log of one attempt. ``note``, ``warn`` and ``command`` may be called from any thread."""

    def __init__(self, lease: Lease, vocabulary: Vocabulary, folder: Path) -> None:
        self.lease, self.claim = lease, lease.claim
        self.vocabulary = vocabulary
        self.folder = folder
        self.lines = 0
        self.bytes = 0
        self._outputs = 0
        self._secrets: set[str] = set()
        self._spools: list[Spool] = []
        self._count = 0
        self._inbox: queue.SimpleQueue[Line | Spool | threading.Event | None] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._pending: list[Line] = []
        self._rest: IO[bytes] | None = None
        self._lost: CheckError | None = None
        self._lost_is_told = False
        self._deaf_until = 0.0
        self._thread = threading.Thread(target=self._serve, name=f"log-{self.claim.run_id}", daemon=True)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    # --- called by the run's threads ---------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def command(self, argv: Sequence[str], where: str = "") -> None:
        """The command as a person would type it, secrets masked before quoting hides their shape."""
        shown = shlex.join(self.vocabulary.mask_text(argument) for argument in argv)
        self.add(LineKind.COMMAND, f"{shown}{where}")

    def add(self, kind: LineKind, text: str) -> None:
        """One or more lines from the engine."""
        now = _now()
        for line in printable(self.vocabulary.mask_text(text)):
            self._put(Line(now, kind.value, line))

    def open_spool(self) -> Spool:
        self._count += 1
        path = self.folder / f"{self._count:04}.out"
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            # Its place on the disk is taken now, when a full disk can still be told as what it is.
            path.with_suffix(salvage.BEGINNING).write_text(" " * _COUNT_WIDTH)
            spool = Spool(path, path.open("rb", buffering=0), Masker(self.vocabulary))
        except OSError as error:
            raise CheckError(
                f"The log's file cannot be made in {self.folder}: {error.strerror}.",
                remedy="Free some space, or correct the rights of the folder SPOOL_ROOT on this worker.",
            ) from error
        self._put(spool)
        return spool

    def remember_secrets(self, values: Iterable[str]) -> None:
        """Mask these from now on, and note their fingerprints, so that a dead worker's files are masked alike."""
        new = [value for value in values if value not in self._secrets]
        if new:
            with (self.folder / salvage.FINGERPRINTS).open("a") as handle:
                handle.writelines(f"{salvage.fingerprint(value)}\n" for value in new)
            self.vocabulary.add(new)
            self._secrets.update(new)

    def close_spool(self, spool: Spool) -> None:
        """The child is gone: wait until its last byte is committed.

        Raises Fenced when it cannot be any more, and CheckError once where the rest cannot be written.
        """
        self._put(spool)
        self._await(spool.done)

    def flush(self) -> None:
        """Wait until everything that was added before is committed. Raises Fenced."""
        event = threading.Event()
        self._put(event)
        self._await(event)

    def close(self) -> None:
        """Stop the thread; what could not be committed (fenced) is dropped."""
        self._put(None)
        self._thread.join(timeout=30)

    def store_rest(self) -> str:
        """After the last line: put what was too long for the database into storage; its key, or "" without a rest."""
        if self._rest is None:
            return ""
        self._rest.seek(0)
        key = f"runs/{self.claim.run_id}/{self.claim.attempt}/log-continued.txt"
        return default_storage.save(key, File(self._rest))

    def ring(self, message: dict[str, Any]) -> None:
        """Tell the watchers; a doorbell that does not answer is skipped for a while."""
        if time.monotonic() >= self._deaf_until and not doorbell.publish(self.claim.channel, message):
            self._deaf_until = time.monotonic() + DEAF_SECONDS

    def _put(self, item: Line | Spool | threading.Event | None) -> None:
        self._inbox.put(item)
        self._wake.set()

    def _await(self, event: threading.Event) -> None:
        while not event.wait(0.5):
            if not self._thread.is_alive():
                raise Fenced
        if self.lease.fenced:
            self.lease.fence()
            raise Fenced
        if self._lost is not None and not self._lost_is_told:
            self._lost_is_told = True
            raise self._lost

    # --- the thread --------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while self._round():
                pass
        except Fenced:
            self._release_waiters()
        except BaseException:
            logger.exception("log.broken", extra={"run": str(self.claim.run_id)})
            self.lease.fence()
            self._release_waiters()
            raise
        finally:
            for spool in self._spools:
                spool.reader.close()
            connection.close()

    def discard(self) -> None:
        """After ``close``: let go of the rest that was stored, or that nobody may store any more."""
        if self._rest is not None:
            self._rest.close()

    def _round(self) -> bool:
        """Read on, take what was added, commit. False when the log is closed."""
        self._wake.wait(POLL_SECONDS if self._spools else 1.0)
        self._wake.clear()
        for spool in self._spools:
            self._read(spool)
        going = True
        while going and not self._inbox.empty():
            going = self._take(self._inbox.get())
        self._commit()
        return going

    def _take(self, item: Line | Spool | threading.Event | None) -> bool:
        if item is None:
            return False
        if isinstance(item, Line):
            self._pending.append(item)
        elif isinstance(item, threading.Event):
            self._commit()
            item.set()
        elif item in self._spools:
            self._finish(item)
        else:
            # How many lines of output came before this file: what a salvage needs to know where to go on.
            with item.path.with_suffix(salvage.BEGINNING).open("r+") as begins:
                begins.write(f"{self._outputs:<{_COUNT_WIDTH}}")
            self._spools.append(item)
        return True

    def _read(self, spool: Spool) -> int:
        data = spool.reader.read(READ_BYTES)
        if data:
            self._keep(spool.cutter.feed(spool.masker.feed(data)))
        return len(data)

    def _finish(self, spool: Spool) -> None:
        while self._read(spool):
            self._commit()
        self._keep(spool.cutter.feed(spool.masker.finish()) + spool.cutter.finish())
        self._commit()
        self._spools.remove(spool)
        spool.reader.close()
        for path in (spool.path, spool.path.with_suffix(salvage.BEGINNING)):
            path.unlink(missing_ok=True)
        spool.done.set()

    def _keep(self, texts: list[str]) -> None:
        now = _now()
        self._outputs += len(texts)
        shown = self.vocabulary.places.shown
        self._pending += [Line(now, LineKind.OUTPUT.value, shown(text)) for text in texts]

    def _commit(self) -> None:
        while self._pending:
            if self._rest is not None:
                self._write_rest()
                return
            count = size = 0
            for line in self._pending[:CHUNK_LINES]:
                size += len(line.text.encode()) + 1
                if count and size > CHUNK_BYTES:
                    break
                count += 1
            chunk, self._pending = self._pending[:count], self._pending[count:]
            self._append(chunk)
            if self.bytes >= settings.RUN_LOG_DATABASE_LIMIT:
                self._open_rest()

    def _append(self, chunk: list[Line]) -> None:
        body = "\n".join(line.text for line in chunk)
        raw = body.encode()
        values = {
            "run": self.claim.run_id,
            "token": self.claim.token,
            "attempt": self.claim.attempt,
            "first": self.lines + 1,
            "lines": len(chunk),
            "bytes": len(raw),
            "sha256": hashlib.sha256(raw).hexdigest(),
            "body": body,
            "stamps": [line.stamp for line in chunk],
            "kinds": "".join(line.kind for line in chunk),
        }
        self.lease.persist(lambda: self._write(values))
        self.lines += len(chunk)
        self.bytes += len(raw)
        message = {name: values[name] for name in ("attempt", "first", "lines")}
        if len(raw) <= RING_BYTES:
            message |= {name: values[name] for name in ("body", "stamps", "kinds")}
        self.ring(message)

    def _write(self, values: dict[str, Any]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(APPEND, values)
            if cursor.rowcount == 1:
                return
            # Either the run is not ours any more, or the answer to an earlier try was lost after its commit.
            cursor.execute(
                "SELECT 1 FROM checks_logchunk WHERE run_id = %(run)s AND attempt = %(attempt)s"
                " AND first_line = %(first)s AND token = %(token)s AND sha256 = %(sha256)s",
                values,
            )
            if cursor.fetchone() is None:
                self.lease.fence()
                raise Fenced

    def _open_rest(self) -> None:
        limit = settings.RUN_LOG_DATABASE_LIMIT / 1024 / 1024
        text = f"The log is longer than {limit:,.0f} MB. What follows is stored as a file when the run ends."
        self._append([Line(_now(), LineKind.NOTE.value, text)])
        try:
            self._rest = (self.folder / "rest.log").open("w+b", buffering=0)
        except OSError as error:
            self._rest = io.BytesIO()
            self._lose_rest(error)

    def _write_rest(self) -> None:
        assert self._rest is not None
        content, self._pending = "".join(f"{line.text}\n" for line in self._pending).encode(), []
        while content and self._lost is None:
            try:
                content = content[self._rest.write(content) :]
            except OSError as error:
                self._lose_rest(error)

    def _lose_rest(self, error: OSError) -> None:
        """The run's own thread ends the run when it next waits for the log; the run is not lost for that."""
        self._lost = CheckError(
            f"The rest of the log cannot be written on this worker: {error.strerror}. What came before is kept.",
            remedy="Free some space in SPOOL_ROOT on this worker, or let the command print less; then start it again.",
        )
        self._append([Line(_now(), LineKind.ERROR.value, self._lost.message)])

    def _release_waiters(self) -> None:
        for spool in self._spools:
            spool.done.set()
        while not self._inbox.empty():
            item = self._inbox.get()
            if isinstance(item, Spool):
                item.done.set()
            elif isinstance(item, threading.Event):
                item.set()


def _now() -> int:
    return time.time_ns() // 1_000_000


__all__ = ["CONNECTION_LOST", "Recorder", "Spool"]
