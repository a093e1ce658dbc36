"""Backups of a database, and of declared configuration and media files, sealed, in storage.

``take`` makes one, ``newest`` finds one, ``authenticate`` proves that it is whole, ``restore`` puts it back
(both from ``checks.tools.restoring``, for whoever needs the whole life of a backup).
A backup counts only when its manifest stands beside it; the manifest is written last.
"""

import secrets
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from django.db import DatabaseError
from psycopg import IsolationLevel
from pydantic import Field

from checks.enums import RunState
from checks.errors import CheckError
from checks.kinds.base import Artifact, KindParams, RunContext
from checks.models import Run
from checks.plan import Duration
from checks.tools import catalogue, configuration, database_settings, digest, dumping, facts, folders, manifest, storage
from checks.tools.background import Background
from checks.tools.crypto import KeyRing, seal
from checks.tools.manifest import Part, Progress
from checks.tools.postgres import Address, Connection, connect, explain, one
from checks.tools.restoring import RestoreReport, authenticate, refuse_bound, restore
from releases.models import Environment


class BackupOptions(KindParams):
    """How a backup is taken; the parameters of the kind ``backup``."""

    compression_level: int = Field(default=1, ge=1, le=19, description="zstd level: 1 is fastest, 19 is smallest.")
    lock_timeout: Duration = Field(
        default=timedelta(seconds=30), description="How long to wait for a table that somebody holds locked."
    )
    may_be_empty: bool = Field(default=False, description="A database without any table is backed up too.")


#: Seconds from which on a difference of two clocks is worth a word.
_CLOCKS_DIFFER = 5
#: What is being done when all objects are written, and none is published.
READING_BACK = "Reading back what was stored"


@dataclass(frozen=True)
class TakenBackup:
    """A published backup. ``manifest_key`` is its name in storage; ``manifest`` what that file says."""

    manifest_key: str
    manifest: dict[str, Any]
    artifacts: list[Artifact]


def take(
    context: RunContext,
    *,
    environment: str,
    options: BackupOptions | None = None,
    nothing_runs: bool = False,
    progress: Progress | None = None,
    doing: Callable[[str], None] = lambda text: None,
    aside: bool = False,
) -> TakenBackup:
    """Back up the database and configuration of ``environment`` and publish it.

    Nothing counts as a backup when this raises; CheckError says why. ``nothing_runs``: nobody deployed there yet, so a
    database without a table is as it should be.
    ``progress`` is called with bytes done, bytes expected and "bytes", ``doing`` with what is being done.
    ``aside``: where no backup is looked for, and in no list; whoever asks for it removes it.
    """
    options = options or BackupOptions()
    ring = KeyRing.from_settings()
    address = Address.parse(context.database_url(environment), what=f"The database address of {environment}")
    left_out = folders.LeftOut()
    files = configuration.declared_files(context, environment, left_out)
    media = configuration.declared_media(context, environment, left_out)
    began = time.monotonic()
    document = _begun(context, environment, options, left_out, aside=aside)
    _tell(context, left_out)
    written: list[str] = []
    try:
        doing(f"Dumping {address.database}")
        parts = [_database_part(context, address, document, options, ring, written, progress)]
        _refuse_nothing(document, address, allowed=options.may_be_empty or nothing_runs)
        if files:
            doing(f"Reading {len(files)} configuration file(s)")
            parts.append(_configuration_part(context, files, document, options, ring, written))
        # After the database, so that every file that its rows name is there, unless somebody removed it meanwhile.
        if media:
            doing(f"Reading {len(media):,} media file(s)")
            parts.append(_media_part(context, media, document, options, ring, written))
        doing(READING_BACK)
        parts = [_publishable(context, part, written) for part in parts]
        document |= {
            "parts": [part.as_json() for part in parts],
            "finished_at": datetime.now(UTC).isoformat(),
            "seconds": round(time.monotonic() - began, 3),
        }
        taken = _publish(context, document, parts, ring, written)
    except BaseException:
        # The manifest goes first: without it, the other objects are nothing.
        for key in reversed(written):
            storage.remove(key)
        raise
    if not aside:
        _list(context, environment, taken)
    return taken


def _begun(
    context: RunContext, environment: str, options: BackupOptions, left_out: folders.LeftOut, *, aside: bool
) -> dict[str, Any]:
    """What is known of a backup before anything is dumped; what an earlier one left half done is cleared away."""
    application = context.run.application.slug
    if aside:
        stem = manifest.stem_aside(application, environment, context.run.id.hex)
    else:
        _clear_abandoned(context, application, environment)
        run, attempt = context.run.id.hex, context.run.attempt
        stem = manifest.stem(application, environment, moment=datetime.now(UTC), run=run, attempt=attempt)
    return {
        "format": manifest.FORMAT,
        "id": uuid.uuid4().hex,
        "stem": stem,
        "application": application,
        "environment": environment,
        "run": str(context.run.id),
        "seed": secrets.randbits(31),
        "may_be_empty": options.may_be_empty,
        "left_out": {"count": left_out.count, "sentences": left_out.sentences},
    }


def _refuse_nothing(document: Mapping[str, Any], address: Address, *, allowed: bool) -> None:
    """A backup of nothing would pass, and every drill of it."""
    if not document["tables"] and not allowed:
        raise CheckError(
            f"The database {address.database} holds no table. Nothing was published.",
            remedy="Correct the address in the plan; or say may_be_empty: true in the backup's params.",
        )


def _tell(context: RunContext, left_out: folders.LeftOut) -> None:
    for sentence in left_out.sentences:
        context.warn(sentence)
    if left_out.count > len(left_out.sentences):
        context.warn(f"{left_out.count - len(left_out.sentences):,} more were left out in the same way.")


def _list(context: RunContext, environment: str, taken: TakenBackup) -> None:
    """Write the backup into the list of backups. It is published already, and the list is made from storage."""
    try:
        place = Environment.objects.get(application=context.run.application_id, name=environment)
        catalogue.record(place, taken.manifest_key, taken.manifest, verified=True)
    except DatabaseError as error:
        context.warn(f"The backup is published, but could not be listed now: {error}")


def _clear_abandoned(context: RunContext, application: str, environment: str) -> None:
    """Remove objects that a killed attempt left without a manifest, and what it had begun to send to an S3 store."""
    for key, run_hex, attempt in manifest.unpublished(application, environment):
        if _is_over(run_hex, attempt):
            storage.remove(key)
            context.note(f"Removed {key}, which an attempt that was killed left behind.")
    try:
        for key, upload, run_hex, attempt in manifest.begun(application, environment):
            if _is_over(run_hex, attempt):
                storage.give_up(key, upload)
                context.note(f"Took back the begun upload of {key}, which an attempt that was killed left behind.")
    except CheckError as error:
        # Not every key of a store may list them; that is no reason to have no backup.
        context.warn(f"{error.message} What a killed attempt may have left there stays.")


def _is_over(run_hex: str, attempt: int) -> bool:
    """Whether an attempt is known here and writes no more."""
    row = Run.objects.filter(pk=run_hex).values_list("state", "attempt").first()
    return row is not None and (row[0] != RunState.RUNNING or attempt < row[1])


@contextmanager
def _snapshot(address: Address, options: BackupOptions) -> Iterator[tuple[Connection, str]]:
    """A repeatable-read transaction and the name under which other sessions can see the same."""
    connection = connect(address, what="the database", autocommit=True, lock_timeout=options.lock_timeout)
    try:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.autocommit = False
        yield connection, str(one(connection, "SELECT pg_export_snapshot()"))
    except psycopg.Error as error:
        raise explain(error, address, what="the database") from error
    finally:
        connection.close()


def _database_part(
    context: RunContext,
    address: Address,
    document: dict[str, Any],
    options: BackupOptions,
    ring: KeyRing,
    written: list[str],
    progress: Progress | None,
) -> Part:
    """Dump the database; in the very same snapshot count and hash what is dumped."""
    with _snapshot(address, options) as (connection, name):
        expected = facts.expected_dump_size(connection)
        before = digest.sequences(connection)
        document["snapshot_at"] = _snapshot_moment(context, connection)
        _tell_bound(context, connection, address.database)

        def seen(done: int) -> None:
            if progress is not None:
                progress(done, max(done, expected), "bytes")

        def described() -> dict[str, Any]:
            # All of it is seen in the snapshot, so the dump need not wait for any of it.
            found = facts.database_facts(connection)
            found |= facts.belonging(connection, found, document["id"], ring)
            return facts.content(connection, document["seed"], chained=True) | found

        with Background(connection, described) as counting:
            dump = dumping.dump(context, address, snapshot=name, lock_timeout=options.lock_timeout, progress=seen)
            part = _store(document, "database", dump, options, ring, written)
            document |= counting.result(context)
        after = digest.sequences(connection)
    document["sequences"] = facts.noted_sequences(before, after)
    return part


def _tell_bound(context: RunContext, connection: Connection, database: str) -> None:
    """Told while there is time: not first when something must be restored."""
    if bound := database_settings.bound(connection, database):
        context.warn(
            f"{database} has {', '.join(bound)}, which no backup holds. Restoring into its place is refused until that"
            " is dropped."
        )


_MOMENT: LiteralString = "SELECT now()"


def _snapshot_moment(context: RunContext, connection: Connection) -> str:
    """When the snapshot was taken, by the server's clock; by this worker's where the server's is ahead of it.

    A backup of tomorrow would be the newest one for as long, and nobody would be told that no other came.
    """
    there: datetime = one(connection, _MOMENT)
    here = datetime.now(UTC)
    ahead = (there - here).total_seconds()
    if ahead > _CLOCKS_DIFFER:
        context.warn(
            f"The server's clock is {ahead:,.0f} s ahead of this worker's, which is taken for the backup's time."
        )
    return min(there, here).astimezone(UTC).isoformat(timespec="microseconds")


def _configuration_part(
    context: RunContext,
    files: list[Any],
    document: dict[str, Any],
    options: BackupOptions,
    ring: KeyRing,
    written: list[str],
) -> Part:
    taken: list[configuration.ConfigurationFile] = []
    context.note(f"{len(files)} configuration file(s)")
    part = _store(document, "configuration", configuration.pack(files, taken), options, ring, written)
    document["configuration"] = [item.as_json() for item in taken]
    return part


def _media_part(
    context: RunContext,
    files: list[Path],
    document: dict[str, Any],
    options: BackupOptions,
    ring: KeyRing,
    written: list[str],
) -> Part:
    """Media files change while people work: one that was removed since is left out, and told."""
    taken, gone = configuration.Listing(), list[Path]()

    def pieces() -> Generator[bytes]:
        for piece in configuration.pack(files, taken, what="media file", gone=gone):
            context.check()
            yield piece

    context.note(f"{len(files):,} media file(s)")
    part = _store(document, "media", pieces(), options, ring, written)
    if gone:
        context.note(f"{len(gone):,} of them were removed before they were read, such as {gone[0]}.")
    document["media"] = taken.as_json()
    return part


def _store(
    document: Mapping[str, Any],
    name: str,
    source: Generator[dumping.Piece],
    options: BackupOptions,
    ring: KeyRing,
    written: list[str],
) -> Part:
    """Compress, seal and write one part under a name that says that it is not published yet."""
    count = _Count()
    key = f"{document['stem']}.{name}.partial"
    written.append(key)
    with ExitStack() as stack:
        # Closed from the outside in when the writing fails, so that no child outlives it.
        plain = stack.enter_context(closing(count.of(source)))
        stack.enter_context(closing(source))
        packed = dumping.compressed(plain, level=options.compression_level)
        sealed = seal(packed, ring=ring, label=manifest.part_label(document["id"], name))
        stored = storage.write(key, sealed)
    return Part(name, key, stored.size, stored.sha256, count.size)


class _Count:
    def __init__(self) -> None:
        self.size = 0

    def of(self, source: Iterable[dumping.Piece]) -> Generator[dumping.Piece]:
        for piece in source:
            self.size += len(piece)
            yield piece


def _publishable(context: RunContext, part: Part, written: list[str]) -> Part:
    """Give a part its final name and read it back: its size and digest are those of what was written."""
    key = part.key.removesuffix(".partial")
    written.append(key)
    storage.move(part.key, key)
    with storage.settled(key):
        found = storage.read_back(key, lambda _: context.check())
    if (found.size, found.sha256) != (part.size, part.sha256):
        raise CheckError(
            f"The storage gives back {key} otherwise than it was written:"
            f" {found.size:,} of {part.size:,} bytes, sha256 {found.sha256[:12]} instead of {part.sha256[:12]}.",
            remedy="Nothing was published. Check the storage's disk, then run the backup again.",
        )
    return Part(part.name, key, part.size, part.sha256, part.plain_size)


def _publish(
    context: RunContext, document: dict[str, Any], parts: list[Part], ring: KeyRing, written: list[str]
) -> TakenBackup:
    context.check()
    text = manifest.sealed_text(document, ring)
    key = document["stem"] + manifest.SUFFIX
    written += [f"{key}.partial", key]
    stored = storage.write(f"{key}.partial", [text])
    storage.move(f"{key}.partial", key)
    with storage.settled(key):
        found = storage.read_back(key)
    if (found.size, found.sha256) != (stored.size, stored.sha256):
        raise CheckError(f"The storage gives back {key} otherwise than it was written.", remedy="Run it again.")
    loaded = manifest.load(key, ring)
    context.note(f"Published {key}")
    kept = [Artifact(part.name, part.key, part.size, part.sha256) for part in parts]
    return TakenBackup(key, loaded, [*kept, Artifact("manifest", key, stored.size, stored.sha256)])


def newest(application: str, environment: str) -> TakenBackup:
    """The newest published backup of an environment (slugs). CheckError when there is none."""
    return described(manifest.newest_key(application, environment))


def described(manifest_key: str) -> TakenBackup:
    """A published backup by the key of its manifest; the manifest is proved, the objects are not read."""
    document = manifest.load(manifest_key)
    kept = [Artifact(part.name, part.key, part.size, part.sha256) for part in manifest.parts(document).values()]
    return TakenBackup(manifest_key, document, kept)


__all__ = [
    "BackupOptions",
    "RestoreReport",
    "TakenBackup",
    "authenticate",
    "described",
    "newest",
    "refuse_bound",
    "restore",
    "take",
]
