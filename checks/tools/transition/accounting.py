"""The books of one table: every source row was inserted, merged or skipped, and each merge and skip was right.

Written apart from the code that decides and writes: a rule is not computed again but asked whether it holds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg import sql

from checks.tools.postgres import Connection, one
from checks.tools.transition import keeping
from checks.tools.transition.matching import normalised
from checks.tools.transition.preflight import keys_of
from checks.tools.transition.work import SKIPPED, Action, TableWork, column, equal, listed, row_hash

Tally = Mapping[tuple[Action, int], int]


def balance(work: TableWork, tally: Tally, figures: dict[str, Any]) -> Iterable[str]:
    """source = inserted + merged + skipped, of rows that the proof itself found."""
    skipped = sum(rows for (action, _), rows in tally.items() if action in SKIPPED)
    found = figures["inserted"] + figures["merged"] + skipped
    if found != work.source_rows:
        yield (
            f"{work.source_rows:,} rows of the source are not {figures['inserted']:,} inserted +"
            f" {figures['merged']:,} merged + {skipped:,} skipped = {found:,}."
        )


def merged(
    target: Connection, work: TableWork, seed: int, figures: dict[str, Any], free: Sequence[str]
) -> Iterable[str]:
    """Each merged row keeps to the rule of each column; its other columns are as they were."""
    figures["merged"] = 0
    if work.mapping.existing != "merge":
        return
    holds = [_rule_holds(work, name) for name in work.merged_columns() if name not in free]
    changing = [
        *work.merged_columns(),
        *free,
        *(name for name, found in work.target.columns.items() if found.generated),
    ]
    as_it_was = sql.SQL("{} = {}").format(
        row_hash(work.target, seed, "t", without=changing), row_hash(work.target, seed, "b", without=changing)
    )
    right = sql.SQL(" AND ").join([*holds, as_it_was])
    pairs = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(column("b", name), column("t", name)) for name in work.mapping.keys_in_target
    )
    rows = sql.SQL("FROM {} JOIN {} m ON {} AND m.action = {} JOIN {} t ON {} JOIN {} b ON {}").format(
        work.joins, work.map, work.same_key(), sql.Literal(int(Action.MERGE)), work.target.identifier,
        work.at_target(), keeping.before_table(work.place, work.number), pairs,
    )  # fmt: skip
    figures["merged"] = _count(target, rows)
    keys = keys_of(target, work, sql.SQL("{} WHERE NOT ({})").format(rows, right), "m")
    if keys:
        yield f"merged rows are not what the rule makes of them: {', '.join(keys)}."


def _rule_holds(work: TableWork, name: str) -> sql.Composable:
    """Whether column ``t`` is what the rule makes of the old one (``b``) and the source's; a condition, never null."""
    parts = {"t": column("t", name), "b": column("b", name), "n": work.value(name)}
    same = "({{{}}})::text IS NOT DISTINCT FROM ({{{}}})::text"
    is_new, is_old = same.format("t", "n"), same.format("t", "b")
    beaten = "COALESCE({{b}} {0} {{t}}, false) OR COALESCE({{n}} {0} {{t}}, false)"
    lost = "{t} IS NULL AND ({b} IS NOT NULL OR {n} IS NOT NULL)"
    rules = {
        "source": is_new,
        "fill": f"CASE WHEN {{b}} IS NULL THEN {is_new} ELSE {is_old} END",
        "greatest": f"({is_new} OR {is_old}) AND NOT ({beaten.format('>')}) AND NOT ({lost})",
        "least": f"({is_new} OR {is_old}) AND NOT ({beaten.format('<')}) AND NOT ({lost})",
    }
    return sql.SQL("({})").format(sql.SQL(rules[work.mapping.merge[name]]).format(**parts))


def kept(target: Connection, work: TableWork) -> Iterable[str]:
    """What the undo goes by is whole: a row for each place of the map, and a hash for each row that was written."""
    placed = _count(target, sql.SQL("FROM {}").format(work.map))
    rows = sql.SQL("FROM {} k").format(keeping.keys_table(work.place, work.number))
    found = _count(target, rows)
    if found != placed:
        yield f"{placed:,} rows were given a place, and {found:,} were kept for the way back."
    written = sql.SQL("{} WHERE k.action IN ({}, {}) AND k.h IS NULL").format(
        rows, sql.Literal(int(Action.INSERT)), sql.Literal(int(Action.MERGE))
    )
    if bare := _count(target, written):
        yield f"{bare:,} inserted or merged rows were kept without their hash, so nobody could undo them."


def skipped(target: Connection, work: TableWork, tally: Tally) -> Iterable[str]:
    """Each reason to skip is asked anew: the source counts its rules itself, the target shows what is there."""
    for place, rows in enumerate(work.rule_rows, 1):
        found = tally.get((Action.RULE, place), 0)
        if found != rows:
            reason = work.mapping.skip[place - 1].reason
            yield f"the source has {rows:,} rows for “{reason}”, and {found:,} were skipped."
    for action, wrongly, sentence in (
        (Action.THERE, _not_there(work), "were skipped as already there and are not in the target"),
        (Action.NOT_WANTED, _there(work), "were skipped as not in the target and are in it"),
        (Action.ORPHAN, _whole(work), "were skipped as orphans and what they refer to arrived"),
        (Action.TWIN, _single(work), "were skipped as the same as another row, which is not in the target"),
    ):
        if not tally.get((action, 0)):
            continue
        rows_of = sql.SQL("FROM {} JOIN {} m ON {} AND m.action = {} WHERE {}").format(
            work.joins, work.map, work.same_key(), sql.Literal(int(action)), wrongly
        )
        if count := _count(target, rows_of):
            yield f"{count:,} rows {sentence}: {', '.join(keys_of(target, work, rows_of, 'm'))}."


def _twin_in_target(work: TableWork) -> sql.Composable:
    """A row of the target with the same values in the matched columns."""
    if not work.mapping.matched_by:
        return sql.SQL("false")
    same = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(normalised(column("o", name), work, name), normalised(work.value(name), work, name))
        for name in work.mapping.matched_by
    )
    return sql.SQL("EXISTS (SELECT FROM {} o WHERE {})").format(work.target.identifier, same)


def _not_there(work: TableWork) -> sql.Composable:
    return sql.SQL("NOT {}").format(_twin_in_target(work))


def _there(work: TableWork) -> sql.Composable:
    return _twin_in_target(work)


def _single(work: TableWork) -> sql.Composable:
    """Its twin was inserted, merged or there already, and it leads to that one's place; or neither was wanted."""
    same = equal([(column("w", f"k{n}"), column("m", f"f{n}")) for n in range(1, len(work.keys) + 1)])
    place = equal([(column("w", name), column("m", name)) for name in work.target_key_names])
    arrived = listed(sql.Literal(int(action)) for action in (Action.INSERT, Action.MERGE, Action.THERE))
    return sql.SQL(
        "NOT EXISTS (SELECT FROM {} w WHERE {} AND (w.action IN ({}) AND {} OR w.action = {} AND m.t1 IS NULL))"
    ).format(work.map, same, arrived, place, sql.Literal(int(Action.NOT_WANTED)))


def placed(target: Connection, work: TableWork) -> Iterable[str]:
    """Whatever refers to a row is led to its place in the map, so each place that was not just written must be there.

    Together with the references, which must hold what the map says: each of them leads to a row of the target.
    """
    rows = sql.SQL(
        "FROM {} m WHERE m.action NOT IN ({}, {}) AND m.t1 IS NOT NULL AND NOT EXISTS (SELECT FROM {} t WHERE {})"
    ).format(
        work.map, sql.Literal(int(Action.INSERT)), sql.Literal(int(Action.MERGE)), work.target.identifier,
        work.at_target(),
    )  # fmt: skip
    if count := _count(target, rows):
        keys = ", ".join(keys_of(target, work, rows, "m"))
        yield f"{count:,} rows lead to a row that the target does not have: {keys}."


def _whole(work: TableWork) -> sql.Composable:
    """Nothing that the row names is missing."""
    missing = [
        sql.SQL("({} AND {} IS NULL)").format(reference.present, column(reference.alias, "t1"))
        for reference in work.references
    ]
    return sql.SQL("NOT ({})").format(sql.SQL(" OR ").join(missing) if missing else sql.SQL("false"))


def _count(connection: Connection, rows: sql.Composable) -> int:
    return int(one(connection, sql.SQL("SELECT count(*) {}").format(rows)))  # type: ignore[arg-type]
