"""The list of releases as a file, streamed."""

import json
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from releases import spreadsheet
from releases.models import Release
from releases.views.streaming import stream

COLUMNS = ("application", "version", "state", "build_digest", "requester", "window_opens", "window_closes",
           "live_at", "id")  # fmt: skip


def export_releases(request: HttpRequest, releases: QuerySet[Release], form: str) -> StreamingHttpResponse:
    """``form``: csv or json."""
    if form == "csv":
        return stream(request, spreadsheet.lines(COLUMNS, _rows(releases)), "text/csv; charset=utf-8", "releases.csv")
    return stream(request, _json(releases), "application/json; charset=utf-8", "releases.json")


def _rows(releases: QuerySet[Release]) -> Iterator[dict[str, str]]:
    for release in releases.iterator(chunk_size=500):
        values: dict[str, Any] = {name: getattr(release, name) for name in COLUMNS}
        yield {
            name: value.isoformat() if hasattr(value, "isoformat") else "" if value is None else str(value)
            for name, value in values.items()
        }


def _json(releases: QuerySet[Release]) -> Iterator[bytes]:
    yield b"[\n"
    for index, row in enumerate(_rows(releases)):
        yield (("," if index else "") + json.dumps(row, ensure_ascii=False) + "\n").encode()
    yield b"]\n"
