"""What of a rehearsal breaks a limit of the plan: one sentence for each reason to say no."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from checks.tools import predicting
from checks.tools.attribution import Account
from checks.tools.rehearsal import Change
from releases.templatetags.interface_format import duration

#: Under this name a plan waives the way back of the command as a whole, where nobody can say what of it is reversible.
COMMAND = "command"


@dataclass(frozen=True)
class Limits:
    """Seconds, rows, and ``waived``: migration, table, column or object -> why it need not be reversible."""

    longest_stall: float
    longest: float
    rewrite_rows: int
    refuse_irreversible: bool
    waived: Mapping[str, str] = field(default_factory=dict)


def of_times(account: Account, seconds: float, predicted: float, limits: Limits) -> list[str]:
    """Stalls and the whole time, as they are predicted for production."""
    told = []
    worst = max(account.stalls, key=lambda row: row["predicted"], default=None)
    if worst is not None and worst["predicted"] > limits.longest_stall:
        by = f" by {worst['migration']}" if worst["migration"] else ""
        told.append(
            f"A {worst['who']} of {worst['table']} would wait for {_scaled(worst['seconds'], worst['predicted'])}{by};"
            f" the limit is {duration(limits.longest_stall)}."
        )
    if predicted > limits.longest:
        told.append(f"It took {_scaled(seconds, predicted)}; the limit is {duration(limits.longest)}.")
    return told


def _scaled(seconds: float, predicted: float) -> str:
    if predicted < seconds * 1.05:
        return duration(predicted)
    return f"{duration(predicted)} in production ({duration(seconds)} on the clone)"


def of_rewrites(change: Change, factors: Mapping[str, float], limits: Limits) -> list[str]:
    """The parts of a partitioned table count together: splitting a table makes writing it anew no cheaper."""
    sums: dict[str, int] = {}
    for row in change.rewrites:
        if row["how"] != "emptied":
            rows = int(row["rows"] * predicting.factor_of(factors, row["table"]))
            sums[row["whole"]] = sums.get(row["whole"], 0) + rows
    return [
        f"{table} with {rows:,} rows was rewritten; {limits.rewrite_rows:,} may be."
        for table, rows in sums.items()
        if rows > limits.rewrite_rows
    ]


def of_indexes(change: Change) -> list[str]:
    return [f"The index {name} is left invalid: it costs writes and serves no reads." for name in change.invalid]


def of_irreversible(names: Sequence[str], limits: Limits) -> list[str]:
    """Migrations that cannot be taken back and that the plan does not waive."""
    open_ones = [name for name in names if name not in limits.waived]
    if not open_ones or not limits.refuse_irreversible:
        return []
    more = f" and {len(open_ones) - 5} more" if len(open_ones) > 5 else ""
    listed = f"{', '.join(open_ones[:5])}{more}"
    return [f"{len(open_ones)} migration(s) cannot be reversed, and the plan does not waive them: {listed}."]


def of_unknown(unknown: bool, limits: Limits) -> list[str]:
    """The schema changed, nobody was asked whether that can be taken back, and nobody went back."""
    if not unknown or not limits.refuse_irreversible or COMMAND in limits.waived:
        return []
    return [
        "The schema changed, and nothing says whether that can be reversed: name a reversible_check or a reverse"
        f" command in the plan, or waive it by irreversible: {{{COMMAND}: why}}."
    ]


def of_way_back(back: Mapping[str, Any] | None, limits: Limits) -> list[str]:
    """Going back was tried and did not bring the database back."""
    if back is None or not limits.refuse_irreversible:
        return []
    told = []
    stopped = back["stopped_at"]
    if back["exit_status"] != 0 and stopped not in limits.waived and stopped not in back["known"]:
        at = f" at {stopped}" if stopped else ""
        told.append(f"Going back broke off{at} with exit status {back['exit_status']}.")
    staying = _staying(back, limits) if back["exit_status"] == 0 else []
    if staying:
        count = len(back["left"]) + len(back["reversed"])
        told.append(
            f"Going back ended with exit status 0 and left {len(staying)} of {count} migration(s) applied:"
            f" {_some(staying)}."
        )
    if back["compared"]:
        objects = [row["object"] for row in back["schema"] if row["object"] not in limits.waived]
        tables = [row["table"] for row in back["data"] if not waiver_of(row, limits.waived)]
        if objects:
            told.append(f"Going back leaves {len(objects)} object(s) of the schema different: {_some(objects)}.")
        if tables:
            told.append(f"Going back does not bring back what {len(tables)} table(s) held: {_some(tables)}.")
    return told


def _staying(back: Mapping[str, Any], limits: Limits) -> list[str]:
    """Migrations that did not go back, although nothing says that they need not.

    Django goes back from the newest one, so what came earlier in the same application stays where a later one may.
    """
    staying, excused = [], set()
    for name in reversed(back["left"]):
        application = name.partition(".")[0]
        if name in limits.waived or name in back["known"]:
            excused.add(application)
        elif application not in excused:
            staying.append(name)
    return staying[::-1]


def waiver_of(row: Mapping[str, Any], waived: Mapping[str, str]) -> str:
    """Why the plan lets a table be other than before after going back; empty: it does not.

    ``row`` is one of ``back["data"]``. The plan names the whole table, or each of the columns that differ; columns
    excuse no row that came or went.
    """
    if row["table"] in waived:
        return waived[row["table"]]
    columns = [f"{row['table']}.{column}" for column in row["columns"]]
    if row["rows_before"] != row["rows_after"] or not columns or not all(name in waived for name in columns):
        return ""
    return " ".join(dict.fromkeys(waived[name] for name in columns))


def of_data(unexplained: Sequence[str]) -> list[str]:
    if not unexplained:
        return []
    return [f"{_some(unexplained)} holds something else now, although nothing of the command was seen to write there."]


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
