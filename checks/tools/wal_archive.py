"""What the archive of a server's WAL can bring back: the archiver's word, and the word of pgBackRest or WAL-G.

The shapes are those of ``pgbackrest info --output=json`` and ``wal-g backup-list --detail --json``; fields that are not
needed are not looked at.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, LiteralString

from checks.errors import CheckError
from checks.tools.postgres import Connection, one

#: The farthest time that either tool could mean; a larger number is no time in seconds.
_LATEST_SECONDS: Final = 253_402_300_799
#: At the very end of a segment nothing of it is missing, so the position is one past its last byte.
_ARCHIVER: LiteralString = """
    SELECT current_setting('archive_mode'), pg_is_in_recovery(), clock_timestamp(), archived_count, last_archived_wal,
        last_archived_time, failed_count, last_failed_wal, last_failed_time,
        (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::bigint,
        pg_size_bytes(current_setting('wal_segment_size'))
    FROM pg_stat_archiver"""
_MAY_LIST: LiteralString = "SELECT has_function_privilege('pg_ls_archive_statusdir()', 'execute')"
_WAITING: LiteralString = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name ~ '^[0-9A-F]{24}[.]ready$'"
#: A segment, whole or the last part of a timeline that ended. What ends otherwise tells of no position.
_SEGMENT: Final = re.compile(r"[0-9A-F]{8}(?P<log>[0-9A-F]{8})(?P<segment>[0-9A-F]{8})(?:\.partial)?")


@dataclass(frozen=True)
class Archiver:
    """What the server says of its archiver. ``asked_at`` is the server's own clock, so ages need no other.

    ``position``: bytes of WAL that were written since the server began, on a standby replayed. ``waiting``: segments
    that the server itself lists as not archived yet; None where the role may not ask.
    """

    mode: str
    standby: bool
    asked_at: datetime
    archived: int
    last_archived: str
    last_archived_at: datetime | None
    failed: int
    last_failed: str
    last_failed_at: datetime | None
    position: int
    segment_bytes: int
    waiting: int | None

    @property
    def runs(self) -> bool:
        """A standby archives only where it is told to archive always."""
        return self.mode == "always" or (self.mode == "on" and not self.standby)

    @property
    def fails_now(self) -> bool:
        """Whether the last thing it did was to fail."""
        return self.last_failed_at is not None and (
            self.last_archived_at is None or self.last_failed_at > self.last_archived_at
        )

    @property
    def behind(self) -> int | None:
        """So many whole segments were written and not archived yet; None where nobody can tell.

        What was archived last may be no segment but a timeline's history, or the mark of a base backup, which is named
        after the segment in which that began.
        """
        match = _SEGMENT.fullmatch(self.last_archived)
        if match is None:
            return self.waiting
        newest = int(match["log"], 16) * (2**32 // self.segment_bytes) + int(match["segment"], 16)
        return max(0, self.position // self.segment_bytes - newest - 1, self.waiting or 0)

    @property
    def keeps_up(self) -> bool:
        """One segment may be on its way; with more, when something was archived last says nothing of how old it is."""
        return self.behind is not None and self.behind <= 1

    @property
    def gap_seconds(self) -> float | None:
        """So much, at most, would be lost now: all since the newest archived segment. None where nobody can tell."""
        if self.last_archived_at is None or not self.keeps_up:
            return None
        return max(0.0, (self.asked_at - self.last_archived_at).total_seconds())


@dataclass(frozen=True)
class BaseBackup:
    """One backup from which WAL is replayed. ``kind``: full, diff or incr; WAL-G names none in its list."""

    label: str
    kind: str
    ended_at: datetime
    faulty: bool = False


@dataclass(frozen=True)
class Archive:
    """What the tool says. ``trouble``: its own word for what is wrong; empty where it says that all is well."""

    trouble: str
    backups: tuple[BaseBackup, ...]

    @property
    def newest(self) -> BaseBackup | None:
        return max((one for one in self.backups if not one.faulty), key=lambda one: one.ended_at, default=None)


def ask_archiver(connection: Connection) -> Archiver:
    row = connection.execute(_ARCHIVER).fetchone()
    assert row is not None
    mode, standby, asked_at, archived, last, last_at, failed, last_failed, last_failed_at, position, size = row
    waiting = int(one(connection, _WAITING)) if one(connection, _MAY_LIST) else None
    return Archiver(
        mode, standby, asked_at, archived or 0, last or "", last_at, failed or 0, last_failed or "", last_failed_at,
        position or 0, size, waiting,
    )  # fmt: skip


def read_pgbackrest(text: str, stanza: str) -> Archive:
    """``pgbackrest info --output=json`` -> Archive. Without ``stanza`` there has to be exactly one."""
    stanzas = [one for one in _list(text, "pgbackrest info --output=json") if isinstance(one, dict)]
    names = [str(one.get("name", "")) for one in stanzas]
    chosen = [one for one in stanzas if not stanza or one.get("name") == stanza]
    if len(chosen) != 1:
        known = f"it knows {', '.join(names)}" if names else "it knows none"
        wanted = f"no stanza {stanza}" if stanza else "not exactly one stanza"
        raise CheckError(f"pgBackRest reports {wanted}: {known}.", remedy="Name the stanza in the plan's section.")
    status = chosen[0].get("status")
    if not isinstance(status, dict) or not isinstance(status.get("code"), int):
        raise _unreadable("pgbackrest info --output=json", "the stanza has no status")
    trouble = "" if status["code"] == 0 else str(status.get("message") or f"status {status['code']}")
    backups = chosen[0].get("backup") or []
    if not isinstance(backups, list):
        raise _unreadable("pgbackrest info --output=json", "its backups are no list")
    return Archive(trouble, tuple(_of_pgbackrest(one) for one in backups))


def read_wal_g(text: str, _stanza: str) -> Archive:
    """``wal-g backup-list --detail --json`` -> Archive. WAL-G prints nothing, or null, where there is no backup."""
    found = _list(text.strip() or "null", "wal-g backup-list --detail --json", or_null=True)
    return Archive("", tuple(_of_wal_g(one) for one in found))


#: By the name of the tool; each is given what the command printed, and the stanza.
READERS: Final[Mapping[str, Callable[[str, str], Archive]]] = {"pgbackrest": read_pgbackrest, "wal-g": read_wal_g}


def _of_pgbackrest(one: Any) -> BaseBackup:
    command = "pgbackrest info --output=json"
    times = one.get("timestamp") if isinstance(one, dict) else None
    stop = times.get("stop") if isinstance(times, dict) else None
    if not isinstance(stop, int) or isinstance(stop, bool) or not 0 < stop <= _LATEST_SECONDS:
        raise _unreadable(command, "a backup has no time at which it ended")
    # Pages whose checksum was wrong when they were copied; older versions do not say.
    faulty = one.get("error") is True
    return BaseBackup(
        str(one.get("label", "")), str(one.get("type", "")), datetime.fromtimestamp(stop, UTC), faulty=faulty
    )


def _of_wal_g(one: Any) -> BaseBackup:
    """Without --detail there is only ``time``, when the list of files was last written: never before the end."""
    if not isinstance(one, dict):
        raise _unreadable("wal-g backup-list --detail --json", "a backup is no object")
    ended = one.get("finish_time") or one.get("time")
    try:
        at = datetime.fromisoformat(ended) if isinstance(ended, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise _unreadable("wal-g backup-list --detail --json", "a backup has no time at which it ended")
    return BaseBackup(str(one.get("backup_name", "")), "", at)


def _list(text: str, command: str, *, or_null: bool = False) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise _unreadable(command, "it is no JSON") from None
    if found is None and or_null:
        return []
    if not isinstance(found, list):
        raise _unreadable(command, "it is no list")
    return found


def _unreadable(command: str, why: str) -> CheckError:
    return CheckError(
        f"What the command printed is not what {command} prints: {why}. So nothing is known of the archive.",
        remedy="Run the command of the plan's section by hand and look at what it prints.",
    )


def as_json(backup: BaseBackup, asked_at: datetime) -> Mapping[str, Any]:
    """For pages and files: {"label", "kind", "ended_at", "ended_text", "age_seconds", "faulty"}."""
    return {
        "label": backup.label,
        "kind": backup.kind,
        "ended_at": backup.ended_at.isoformat(),
        "ended_text": f"{backup.ended_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "age_seconds": max(0.0, (asked_at - backup.ended_at).total_seconds()),
        "faulty": backup.faulty,
    }
