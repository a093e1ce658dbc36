"""Putting a backup back: into an empty database, or beside the old one and then swapped in one transaction."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools import comparing, configuration, dumping, facts, manifest, scratch
from checks.tools.background import patiently
from checks.tools.crypto import KeyRing
from checks.tools.manifest import Progress
from checks.tools.postgres import Address, Connection, connected, maintenance, one


@dataclass(frozen=True)
class RestoreReport:
    """``database``: the name now holding the backup. ``replaced``: the old one's new name, "" where there was none.

    ``seconds``: duration of each phase (authenticate, create, restore, analyze, compare, swap).
    """

    manifest_key: str
    database: str
    replaced: str
    tables: int
    rows: int
    seconds: Mapping[str, float] = field(default_factory=dict)


def authenticate(manifest_key: str, progress: Progress | None = None) -> dict[str, Any]:
    """Read every byte of a backup and prove it; returns the manifest. CheckError names what is wrong."""
    ring = KeyRing.from_settings()
    document = manifest.load(manifest_key, ring)
    manifest.authenticate(document, ring, progress)
    return document


def load_database(
    context: RunContext, document: Mapping[str, Any], address: Address, *, progress: Progress | None = None
) -> None:
    """Stream the database part into an empty database. The caller has authenticated the backup."""
    expected = manifest.parts(document)["database"].plain_size
    done = 0
    with manifest.plain(document, "database", KeyRing.from_settings()) as pieces:

        def counted() -> Iterator[bytes]:
            nonlocal done
            for piece in dumping.decompressed(pieces):
                done += len(piece)
                if progress is not None:
                    progress(done, expected, "bytes")
                yield piece

        dumping.load(context, address, counted())
    if done != expected:
        raise CheckError(f"The backup gave {done:,} bytes of dump, and {expected:,} were taken.")


def configuration_of(document: Mapping[str, Any], folder: Path | None = None) -> list[configuration.ConfigurationFile]:
    """The configuration files in a backup; written below ``folder`` where one is given. Empty when none was taken."""
    found: list[configuration.ConfigurationFile] = []
    _unpack(document, "configuration", found, folder)
    return found


def media_of(document: Mapping[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """How many media files are in a backup, with how many bytes, and the digest of their list; written below ``folder``
    where one is given. Empty when none was declared.
    """
    if "media" not in manifest.parts(document):
        return {}
    found = configuration.Listing()
    _unpack(document, "media", found, folder)
    return found.as_json()


def _unpack(document: Mapping[str, Any], part: str, found: configuration.Taken, folder: Path | None) -> None:
    if part in manifest.parts(document):
        with manifest.plain(document, part, KeyRing.from_settings()) as pieces:
            configuration.unpack(dumping.decompressed(pieces), found, folder)


class Phases:
    """Seconds of each phase of a recovery."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - began, 3)

    @property
    def total(self) -> float:
        return round(sum(self.seconds.values()), 3)


def restore(
    context: RunContext,
    *,
    manifest_key: str,
    database_url: str,
    clean: bool,
    progress: Progress | None = None,
) -> RestoreReport:
    """Put a backup into the database of ``database_url``, after authenticating all of it.

    ``clean=False``: that database exists and is empty. ``clean=True``: the backup goes into a fresh database beside it,
    is compared with its manifest, and takes the name in one transaction; sessions of the old database are ended. The
    old one stays under another name (``RestoreReport.replaced``). When this raises before the swap the old one is
    untouched, and the message says so.
    """
    target = Address.parse(database_url, what="The address to restore to")
    phases = Phases()
    if not clean:
        with phases.phase("authenticate"):
            document = authenticate(manifest_key, _looking(context, progress))
        with connected(target, what="the target database") as connection:
            facts.require(connection, document)
            _refuse_full(connection, target)
        _fill(context, document, target, phases, progress)
        return _report(manifest_key, document, target.database, "", phases)
    try:
        return _restore_beside(context, manifest_key, target, phases, progress)
    except CheckError as error:
        if "untouched" in error.message:
            raise
        raise CheckError(
            f"{error.message} The database {target.database} is untouched.", remedy=error.remedy
        ) from error


def refuse_bound(database_url: str) -> None:
    """CheckError where ``restore`` with ``clean`` would be refused for what belongs to that very database."""
    target = Address.parse(database_url, what="The address to restore to")
    with connected(maintenance(target), what="the server") as connection:
        scratch.refuse_bound(connection, target.database)


def _restore_beside(
    context: RunContext, manifest_key: str, target: Address, phases: Phases, progress: Progress | None
) -> RestoreReport:
    refuse_bound(target.url())
    with phases.phase("authenticate"):
        document = authenticate(manifest_key, _looking(context, progress))
    orders = maintenance(target)
    with connected(orders, what="the server") as connection:
        facts.require(connection, document)
    with phases.phase("create"):
        stack = ExitStack()
        fresh = stack.enter_context(
            scratch.scratch_database(context, target, scratch.RESTORE, like=document["database"])
        )
    with stack:
        _fill(context, document, fresh, phases, progress)
        aside = scratch.set_aside_name(target.database, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        context.check()
        with phases.phase("swap"):
            scratch.swap(context, orders, fresh=fresh.database, target=target.database, aside=aside)
    context.note(f"{target.database} holds the backup now; what it was is kept as {aside}.")
    with connected(orders, what="the server") as connection:
        for name in scratch.drop_older_set_aside(connection, target.database, aside):
            context.note(f"Dropped {name}, which an earlier restore had set aside.")
    return _report(manifest_key, document, target.database, aside, phases)


def _fill(
    context: RunContext, document: Mapping[str, Any], target: Address, phases: Phases, progress: Progress | None
) -> None:
    """Load, analyze and compare; CheckError when what came out is not what went in."""
    with phases.phase("restore"):
        load_database(context, document, target, progress=progress)
    with connected(target, what="the restored database") as connection:
        with phases.phase("analyze"):
            patiently(context, connection, lambda: connection.execute("ANALYZE"))
        with phases.phase("compare"):
            pace = comparing.Pace(document)

            def tell() -> None:
                if progress is not None:
                    progress(pace.done, pace.total, "rows")

            found = patiently(context, connection, partial(comparing.compare, connection, document, pace), tell)
    if found.differences:
        raise CheckError(
            f"The restored database differs from its backup: {' '.join(found.differences[:5])}",
            remedy="Drill this backup to see every difference; use another backup.",
        )


def _refuse_full(connection: Connection, target: Address) -> None:
    if one(
        connection,
        "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'v', 'm', 'p', 'S')"
        " AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')",
    ):
        raise CheckError(
            f"The database {target.database} is not empty, and nothing in it was changed.",
            remedy="Restore with clean, which replaces it, or give an empty database.",
        )


def _looking(context: RunContext, progress: Progress | None) -> Callable[[float, float | None, str], None]:
    def seen(done: float, total: float | None, unit: str) -> None:
        context.check()
        if progress is not None:
            progress(done, total, unit)

    return seen


def _report(
    manifest_key: str, document: Mapping[str, Any], database: str, replaced: str, phases: Phases
) -> RestoreReport:
    tables = document["tables"]
    return RestoreReport(
        manifest_key, database, replaced, len(tables), sum(table["rows"] for table in tables.values()), phases.seconds
    )
