"""The timeline of a rehearsal as bars to draw: a lane for each migration and each table, on one axis."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

MAX_MIGRATIONS = 14
MAX_TABLES = 14
#: A bar is at least this wide, in percent of the axis, so that it can be seen.
LEAST = 0.4
#: The tone and the place of each bar in its lane: a lock lies low and is the thicker the more it closes.
LOOKS = {
    "migration": ("live", 9, 12),
    "reading": ("idle", 19, 8),
    "writing": ("idle", 19, 5),
    "rows": ("idle", 19, 2),
    "stall": ("hold", 5, 10),
    "over": ("nogo", 5, 10),
}


def draw(
    migrations: Sequence[Mapping[str, Any]],
    locks: Sequence[Mapping[str, Any]],
    stalls: Sequence[Mapping[str, Any]],
    limit: float,
) -> dict[str, Any]:
    """``lanes``: label, kind, seconds, who, over, bars; ``ticks``: x and seconds; ``left_out``: lanes without room.

    A bar: x and width in percent of the axis, y and height in pixels, tone, title, seconds, and ``what``: migration;
    reading, writing or rows, which a lock closes; stall or over, somebody waited, in production longer than ``limit``
    seconds. Without a span there are no lanes.
    """
    known = [row for row in migrations if row["began"] is not None and row["seconds"] is not None]
    spans = [*known, *locks, *stalls]
    if not spans:
        return {"lanes": [], "ticks": [], "left_out": 0}
    first = min(row["began"] for row in spans)
    whole = max(row["began"] + row["seconds"] for row in spans) - first or 0.001
    scale = _Scale(first, whole)
    longest = sorted(known, key=lambda row: -row["seconds"])[:MAX_MIGRATIONS]
    chosen = [row for row in known if row in longest]
    tables = _tables(locks, stalls)
    lanes = [
        {"label": row["migration"], "kind": "migration", "seconds": row["seconds"],
         "bars": [scale.bar(row, "migration", row["migration"])]}
        for row in chosen
    ]  # fmt: skip
    lanes += [_table_lane(table, locks, stalls, scale, limit) for table in tables[:MAX_TABLES]]
    return {
        "lanes": lanes,
        "ticks": scale.ticks(),
        "left_out": len(known) - len(chosen) + max(0, len(tables) - MAX_TABLES),
    }


def _tables(locks: Sequence[Mapping[str, Any]], stalls: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tables by the longest wait, then by the longest lock."""
    worst: dict[str, float] = {}
    for row in [*locks, *stalls]:
        worst[row["table"]] = max(worst.get(row["table"], 0.0), row["seconds"])
    return sorted(worst, key=lambda table: -worst[table])


def _table_lane(
    table: str,
    locks: Sequence[Mapping[str, Any]],
    stalls: Sequence[Mapping[str, Any]],
    scale: "_Scale",
    limit: float,
) -> dict[str, Any]:
    what = {"reading and writing": "reading", "writing": "writing", "changing the same rows": "rows"}
    bars = [scale.bar(row, what[row["blocks"]], f"no {row['blocks']}") for row in locks if row["table"] == table]
    mine = [row for row in stalls if row["table"] == table]
    bars += [scale.bar(row, "over" if row["predicted"] > limit else "stall", f"a {row['who']} waited") for row in mine]
    worst = max(mine, key=lambda row: (row["predicted"], row["seconds"]), default=None)
    return {
        "label": table,
        "kind": "table",
        "seconds": worst["seconds"] if worst else 0.0,
        "who": worst["who"] if worst else "",
        "over": worst is not None and worst["predicted"] > limit,
        "bars": sorted(bars, key=lambda bar: bar["what"] in ("stall", "over")),
    }


class _Scale:
    """Seconds of the epoch -> percent of the axis."""

    def __init__(self, first: float, whole: float) -> None:
        self.first, self.whole = first, whole

    def bar(self, row: Mapping[str, Any], what: str, title: str) -> dict[str, Any]:
        width = max(LEAST, round(row["seconds"] / self.whole * 100, 2))
        x = min(round((row["began"] - self.first) / self.whole * 100, 2), 100 - width)
        tone, y, height = LOOKS[what]
        return {
            "x": max(0.0, x), "width": width, "y": y, "height": height, "tone": tone, "what": what, "title": title,
            "seconds": row["seconds"],
        }  # fmt: skip

    def ticks(self) -> list[dict[str, Any]]:
        """At most six, at round seconds."""
        power = 10.0 ** math.floor(math.log10(self.whole / 5))
        step = next((each * power for each in (1, 2, 5, 10) if self.whole / (each * power) <= 6), 10 * power)
        count = int(self.whole / step)
        return [
            {"x": round(number * step / self.whole * 100, 2), "seconds": round(number * step, 6)}
            for number in range(count + 1)
        ]
