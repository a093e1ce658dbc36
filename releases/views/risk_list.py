"""The risks of every release that is under way, in one list: filtered, sorted, and as a file."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_GET

from releases import page_queries as queries
from releases import spreadsheet
from releases.domain import gate as gates
from releases.domain.positions import RiskPosition
from releases.models import Release
from releases.permissions import visible_releases
from releases.views import showing
from releases.views.streaming import stream

COLUMNS: Final = (
    "application", "version", "risk", "owner", "likelihood", "impact", "score", "appetite", "level", "treatment", "why",
)  # fmt: skip
LEVELS: Final = ("over", "at", "within")


@dataclass(frozen=True)
class Row:
    release: Release
    position: RiskPosition

    @property
    def level(self) -> str:
        """over, at or within the appetite."""
        if self.position.over_appetite:
            return "over"
        return "at" if self.position.score == self.position.risk.appetite else "within"

    def facts(self) -> dict[str, Any]:
        position = self.position
        values = (
            self.release.application.name, self.release.version, position.risk.title, position.risk.owner,
            position.likelihood, position.impact, position.score, position.risk.appetite, self.level,
            position.treatment.value, position.reason,
        )  # fmt: skip
        return dict(zip(COLUMNS, values, strict=True))


_SORTS: Final = {
    "risk": lambda row: row.position.risk.title.lower(),
    "release": lambda row: str(row.release).lower(),
    "score": lambda row: row.position.score,
}


@dataclass(frozen=True)
class RiskFilters:
    """What the list was asked for: words, a level, one cell of the matrix, an order."""

    text: str = ""
    level: str = ""
    cell: tuple[int, int] | None = None
    sort: str = "-score"

    @classmethod
    def read(cls, query: QueryDict) -> "RiskFilters":
        level, sort = query.get("level", ""), query.get("sort", "")
        likelihood, impact = query.get("likelihood", ""), query.get("impact", "")
        known = likelihood.isdecimal() and impact.isdecimal()
        return cls(
            text=query.get("q", "").strip()[:200],
            level=level if level in LEVELS else "",
            cell=(int(likelihood[:2]), int(impact[:2])) if known else None,
            sort=sort if sort.lstrip("-") in _SORTS else "-score",
        )

    def finds(self, row: Row) -> bool:
        """Whether every word stands in the row, and it lies in the cell that was chosen."""
        words = f"{row.release} {row.position.risk.title} {row.position.risk.owner}".lower()
        inside = self.cell is None or self.cell == (row.position.likelihood, row.position.impact)
        return inside and all(word in words for word in self.text.lower().split())

    def sorted(self, rows: list[Row]) -> list[Row]:
        # The highest first among equals, whatever else was asked.
        highest = sorted(rows, key=lambda row: (-row.position.score, row.release.version))
        return sorted(highest, key=_SORTS[self.sort.lstrip("-")], reverse=self.sort.startswith("-"))


@login_required
@require_GET
def risk_list(request: HttpRequest) -> HttpResponseBase:
    """The registers of all releases that are under way, the highest position first."""
    filters = RiskFilters.read(request.GET)
    under_way = list(queries.under_way(visible_releases(request.user)))
    evaluated = gates.evaluate_many(under_way)
    every = [Row(release, position) for release in under_way for position in evaluated[release.pk].risks]
    found = filters.sorted([row for row in every if filters.finds(row)])
    rows = [row for row in found if not filters.level or row.level == filters.level]
    if request.GET.get("format") in ("csv", "json"):
        return _export(request, rows, request.GET["format"])
    context = {
        "nav": "risks",
        "rows": rows,
        "any": bool(every),
        "filters": filters,
        "counts": {level: sum(row.level == level for row in found) for level in LEVELS},
        "cells": [cell for release in under_way for cell in showing.risk_cells(evaluated[release.pk])],
    }
    return render(request, "releases/risk/list.html", context)


def _export(request: HttpRequest, rows: Sequence[Row], form: str) -> HttpResponseBase:
    if form == "csv":
        lines = spreadsheet.lines(COLUMNS, (row.facts() for row in rows))
        return stream(request, lines, "text/csv; charset=utf-8", "risks.csv")
    return stream(request, _json(rows), "application/json; charset=utf-8", "risks.json")


def _json(rows: Sequence[Row]) -> Iterator[bytes]:
    yield json.dumps([row.facts() for row in rows], ensure_ascii=False, indent=1).encode()
