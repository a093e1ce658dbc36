"""The list of backups as a file."""

import json
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from checks.models import StoredBackup
from releases import spreadsheet
from releases.views.streaming import stream

COLUMNS = ("manifest_key", "snapshot_at", "finished_at", "seconds", "state", "stored_bytes", "plain_bytes",
           "database_bytes", "tables", "rows", "key_id", "server", "verified_at", "drilled_at", "fault", "run",
           "drill", "removed_at", "removed_because")  # fmt: skip


def _row(backup: StoredBackup) -> dict[str, Any]:
    row = {name: getattr(backup, name) for name in COLUMNS if name not in ("state", "run", "drill")}
    row |= {
        "state": backup.look,
        "run": backup.run.number if backup.run else None,
        "drill": backup.drill.number if backup.drill else None,
    }
    return {name: row[name].isoformat() if hasattr(row[name], "isoformat") else row[name] for name in COLUMNS}


def export_backups(request: HttpRequest, backups: "QuerySet[StoredBackup]", form: str) -> StreamingHttpResponse:
    """``form``: csv or json."""
    rows = [_row(backup) for backup in backups]
    if form == "json":
        parts, kind = iter([json.dumps(rows, ensure_ascii=False, indent=1).encode()]), "application/json"
    else:
        parts, kind = spreadsheet.lines(COLUMNS, rows), "text/csv"
    return stream(request, parts, f"{kind}; charset=utf-8", f"backups.{form}")
