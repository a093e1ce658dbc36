"""What a comparison leaves behind: the page's rows, and all of it as CSV and JSON."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from checks.tools.parity.comparing import Expected
from checks.tools.parity.facts import TITLES, Area
from checks.tools.parity.states import ORDER, Row, State
from releases import spreadsheet

MAX_ROWS = 400
MAX_SAME = 150
COLUMNS = ("state", "area", "fact", "here", "there", "why")


def sentence(row: Row, names: tuple[str, str]) -> str:
    """One difference in words, for the log and the summary."""
    if row.state is State.UNKNOWN:
        return f"{row.fact} is unknown: {row.why}"
    sides = [f"{name} {fact.text if fact else 'has none'}" for name, fact in zip(names, (row.here, row.there),
                                                                              strict=True)]  # fmt: skip
    why = f" ({row.why})" if row.why else ""
    return f"{row.fact}: {', '.join(sides)}{why}"


def counts(rows: Sequence[Row]) -> dict[str, int]:
    found = Counter(row.state for row in rows)
    return {state.value: found[state] for state in ORDER}


def as_result(rows: Sequence[Row], names: tuple[str, str], left_out: Mapping[str, str],
              not_seen: Sequence[Expected]) -> dict[str, Any]:  # fmt: skip
    """For the run's page: every difference up to a bound, and of what is the same some of each area."""
    differing = sorted((row for row in rows if row.state is not State.SAME), key=_rank)
    return {
        "names": list(names),
        "counts": counts(rows),
        "areas": [_area(area, rows, differing[:MAX_ROWS]) for area in Area if any(row.area is area for row in rows)],
        "not_shown": max(0, len(differing) - MAX_ROWS),
        "left_out": [{"fact": pattern, "reason": reason} for pattern, reason in left_out.items()],
        "not_seen": [{"fact": entry.fact, "reason": entry.reason} for entry in not_seen],
    }


def _area(area: Area, rows: Sequence[Row], shown: Sequence[Row]) -> dict[str, Any]:
    own = [row for row in rows if row.area is area]
    same = [row for row in own if row.state is State.SAME]
    return {
        "area": area.value,
        "title": TITLES[area],
        "counts": counts(own),
        "rows": [row.as_json() for row in shown if row.area is area],
        "same": [row.as_json() for row in same[:MAX_SAME]],
        "same_left_out": max(0, len(same) - MAX_SAME),
    }


def _rank(row: Row) -> tuple[int, int, str]:
    return ORDER.index(row.state), list(Area).index(row.area), row.name


def write(rows: Sequence[Row], names: tuple[str, str], folder: Path) -> list[Path]:
    """parity.csv and parity.json with every fact, the same ones too."""
    columns = {"here": names[0], "there": names[1]}
    table = folder / "parity.csv"
    with table.open("wb") as out:
        out.write(spreadsheet.line(columns.get(name, name) for name in COLUMNS))
        for row in sorted(rows, key=_rank):
            values = row.as_json()
            out.write(spreadsheet.line(values[name] for name in COLUMNS))
    document = folder / "parity.json"
    facts = [row.as_json() for row in sorted(rows, key=_rank)]
    document.write_text(json.dumps({"environments": list(names), "facts": facts}, ensure_ascii=False, indent=1))
    return [table, document]
