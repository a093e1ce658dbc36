"""Backups of a database and of declared configuration files, sealed, in storage.

``take`` makes one, ``newest`` finds one, ``authenticate`` proves that it is whole, ``restore`` puts it back.
A backup counts only when its manifest stands beside it; the manifest is written last.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import Field

from checks.kinds.base import Artifact, KindParams, RunContext
from checks.plan import Duration

Progress = Callable[[float, float | None, str], None]


class BackupOptions(KindParams):
    """How a backup is taken; the parameters of the kind ``backup``."""

    compression_level: int = Field(default=3, ge=1, le=19, description="zstd level: 1 is fastest, 19 is smallest.")
    lock_timeout: Duration = Field(
        default=timedelta(seconds=30), description="How long to wait for a table that somebody holds locked."
    )


@dataclass(frozen=True)
class TakenBackup:
    """A published backup. ``manifest_key`` is its name in storage; ``manifest`` what that file says."""

    manifest_key: str
    manifest: dict[str, Any]
    artifacts: list[Artifact]


@dataclass(frozen=True)
class RestoreReport:
    """``database``: the name now holding the backup. ``replaced``: the old one's new name, "" where there was none.

    ``seconds``: duration of each phase (authenticate, create, restore, compare, swap).
    """

    manifest_key: str
    database: str
    replaced: str
    tables: int
    rows: int
    seconds: Mapping[str, float] = field(default_factory=dict)


def take(
    context: RunContext,
    *,
    environment: str,
    options: BackupOptions | None = None,
    progress: Progress | None = None,
) -> TakenBackup:
    """Back up the database and configuration of ``environment`` and publish it.

    Nothing counts as a backup when this raises; CheckError says why.
    ``progress`` is called with bytes done, bytes expected and "bytes".
    """
    raise NotImplementedError


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
    raise NotImplementedError


def newest(application: str, environment: str) -> TakenBackup:
    """The newest published backup of an environment (slugs). CheckError when there is none."""
    raise NotImplementedError


def authenticate(manifest_key: str, progress: Progress | None = None) -> dict[str, Any]:
    """Read every byte of a backup and prove it; returns the manifest. CheckError names what is wrong."""
    raise NotImplementedError
