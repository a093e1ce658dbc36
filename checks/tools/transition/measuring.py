"""Figures of each column on both sides, which a person can compare: nulls, least, greatest, sum."""

from decimal import Decimal
from typing import Any, Final, LiteralString

from psycopg import sql

from checks.tools.postgres import Connection
from checks.tools.transition.work import Action, Mapped, TableWork, column, listed

_FLOATS: Final = frozenset({"float4", "float8", "money"})
_NUMBERS: Final = _FLOATS | {"int2", "int4", "int8", "numeric"}
_TEXTS: Final = frozenset({"text", "varchar", "bpchar", "char", "name"})
#: Types whose least and greatest are asked for, where the server has them; figures of all others are of lengths.
_EXTREMES: LiteralString = """
    SELECT t.typname FROM pg_catalog.pg_aggregate a JOIN pg_catalog.pg_proc p ON p.oid = a.aggfnoid
    JOIN pg_catalog.pg_type t ON t.oid = p.proargtypes[0]
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.pronargs = 1 AND p.proname IN ('min', 'max')
      AND t.typtype = 'b' GROUP BY 1 HAVING count(DISTINCT p.proname) = 2
"""


def columns(target: Connection, work: TableWork, free: list[str], told: list[str]) -> list[dict[str, Any]]:
    """Null, min, max and sum of each column of the inserted rows, on both sides."""
    shown = [one for one in work.hashed() if one.column.name not in free]
    if not shown:
        return []
    ordered = {name for (name,) in target.execute(_EXTREMES).fetchall()}
    rows = sql.SQL("FROM {} JOIN {} m ON {} AND m.action = {} JOIN {} t ON {}").format(
        work.joins, work.map, work.same_key(), sql.Literal(int(Action.INSERT)), work.target.identifier,
        work.at_target(),
    )  # fmt: skip
    values, parts = [], []
    for place, one in enumerate(shown):
        lengths = _of_lengths(one, ordered)
        for alias, name in (("s", one.stage), ("t", one.column.name)):
            label = f"{alias}{place}"
            measured = _measured(one, column(alias, name), lengths)
            values.append(sql.SQL("{} AS {}").format(measured, sql.Identifier(label)))
            parts += _measures(one, column("q", label), lengths)
    # OFFSET 0: each value is computed once and not for each of its figures.
    row = target.execute(
        sql.SQL("SELECT {} FROM (SELECT {} {} OFFSET 0) q").format(listed(parts), listed(values), rows)
    ).fetchone()
    assert row is not None
    found = []
    for place, one in enumerate(shown):
        said, held = row[place * 8 : place * 8 + 4], row[place * 8 + 4 : place * 8 + 8]
        kinds = {"of_lengths": _of_lengths(one, ordered), "of_numbers": _base(one) in _NUMBERS | {"bool"}}
        names = ("nulls", "least", "greatest", "sum")
        found.append(
            {"column": one.column.name, "equal": said == held}
            | kinds
            | {name: _plain(value) for name, value in zip(names, said, strict=True)}
            | {f"target_{name}": _plain(value) for name, value in zip(names, held, strict=True)}
        )
        if said != held:
            told.append(f"{work.label}: column {one.column.name} has other figures in the target than in the source.")
    return found


def _of_lengths(one: Mapped, ordered: set[str]) -> bool:
    """Whether figures of this column are those of the values' lengths."""
    base = _base(one)
    return base in _TEXTS or base == "bytea" or (base not in ordered and base != "bool")


def _base(one: Mapped) -> str:
    return one.staged.base if one.canonical == one.staged.type else one.canonical


def _measured(one: Mapped, value: sql.Composable, lengths: bool) -> sql.Composable:
    """What the figures are of. Of texts the lengths: figures are shown to people, contents are not."""
    base, value = _base(one), one.comparable(value)
    if base in _TEXTS:
        return sql.SQL("length({})").format(value)
    if base == "bytea":
        return sql.SQL("octet_length({})").format(value)
    if base == "bool":
        return sql.SQL("({})::int").format(value)
    return sql.SQL("length(({})::text)").format(value) if lengths else value


def _measures(one: Mapped, value: sql.Composable, lengths: bool) -> list[sql.Composable]:
    """Nulls, least, greatest, sum; the last three as text. Sums are of numbers without an end, so that none overflows;
    that of times is in seconds."""
    base = _base(one)
    summed: sql.Composable = sql.SQL("sum({})::text").format(value)
    if base in _FLOATS:
        summed = sql.SQL("sum(({})::numeric)::text").format(value)
    elif base == "interval":
        summed = sql.SQL("sum(extract(epoch FROM {}))::text").format(value)
    elif not lengths and base not in _NUMBERS and base != "bool":
        summed = sql.SQL("NULL::text")
    return [
        sql.SQL("count(*) FILTER (WHERE {} IS NULL)").format(value),
        sql.SQL("min({})::text").format(value),
        sql.SQL("max({})::text").format(value),
        summed,
    ]


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value
