"""Lists of runs as files, streamed."""

import json
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from checks.models import Run
from releases import spreadsheet
from releases.views.streaming import stream

COLUMNS = ("number", "application", "release", "kind", "section", "environment", "state", "verdict", "summary",
           "started_by", "created_at", "started_at", "ended_at", "seconds")  # fmt: skip


def _rows(runs: "QuerySet[Run]") -> Iterator[dict[str, Any]]:
    for run in runs.iterator(chunk_size=500):
        seconds = (run.ended_at - run.started_at).total_seconds() if run.ended_at and run.started_at else None
        yield {
            "number": run.number,
            "application": run.application.slug,
            "release": run.release.version if run.release else "",
            "kind": run.kind,
            "section": run.section,
            "environment": run.environment.name,
            "state": run.state,
            "verdict": run.verdict,
            "summary": run.summary,
            "started_by": str(run.started_by or ""),
            "created_at": run.created_at.isoformat(),
            "started_at": run.started_at.isoformat() if run.started_at else "",
            "ended_at": run.ended_at.isoformat() if run.ended_at else "",
            "seconds": seconds,
        }


def _json(runs: "QuerySet[Run]") -> Iterator[bytes]:
    yield b"[\n"
    for index, row in enumerate(_rows(runs)):
        yield (("," if index else "") + json.dumps(row, ensure_ascii=False) + "\n").encode()
    yield b"]\n"


def export_runs(request: HttpRequest, runs: "QuerySet[Run]", form: str) -> StreamingHttpResponse:
    """``form``: csv or json."""
    if form == "csv":
        return stream(request, spreadsheet.lines(COLUMNS, _rows(runs)), "text/csv; charset=utf-8", "runs.csv")
    return stream(request, _json(runs), "application/json; charset=utf-8", "runs.json")
