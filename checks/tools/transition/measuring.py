"""Figures of each column on both sides, which a person can compare: nulls, least, greatest, sum."""

from decimal import Decimal
from typing import Any

from psycopg import sql

from checks.tools.postgres import Connection
from checks.tools.transition.work import Action, Mapped, TableWork, column, listed

_NUMBERS = {"int2", "int4", "int8", "numeric", "float4", "float8", "money", "interval"}
_UNORDERED = {"json", "xml", "point", "box", "bool", "jsonb", "uuid", "bytea", "hstore", "polygon", "circle", "path"}


def columns(target: Connection, work: TableWork, free: list[str], told: list[str]) -> list[dict[str, Any]]:
    """Null, min, max and sum of each column of the inserted rows, on both sides."""
    shown = [one for one in work.hashed() if one.column.name not in free]
    if not shown:
        return []
    rows = sql.SQL("FROM {} JOIN {} m ON {} AND m.action = {} JOIN {} t ON {}").format(
        work.joins, work.map, work.same_key(), sql.Literal(int(Action.INSERT)), work.target.identifier,
        work.at_target(),
    )  # fmt: skip
    values, parts = [], []
    for place, one in enumerate(shown):
        for alias, name in (("s", one.stage), ("t", one.column.name)):
            label = f"{alias}{place}"
            values.append(sql.SQL("{} AS {}").format(_measured(one, column(alias, name)), sql.Identifier(label)))
            parts += _measures(one, column("q", label))
    # OFFSET 0: each value is computed once and not for each of its figures.
    row = target.execute(
        sql.SQL("SELECT {} FROM (SELECT {} {} OFFSET 0) q").format(listed(parts), listed(values), rows)
    ).fetchone()
    assert row is not None
    found = []
    for place, one in enumerate(shown):
        said, held = row[place * 8 : place * 8 + 4], row[place * 8 + 4 : place * 8 + 8]
        names = ("nulls", "least", "greatest", "sum")
        found.append(
            {"column": one.column.name, "equal": said == held, "of_lengths": _of_lengths(one)}
            | {name: _plain(value) for name, value in zip(names, said, strict=True)}
            | {f"target_{name}": _plain(value) for name, value in zip(names, held, strict=True)}
        )
        if said != held:
            told.append(f"{work.label}: column {one.column.name} has other figures in the target than in the source.")
    return found


def _is_text(one: Mapped) -> bool:
    return _base(one) in ("text", "varchar", "bpchar", "char", "name")


def _of_lengths(one: Mapped) -> bool:
    """Figures of these columns are those of the values' lengths."""
    base = _base(one)
    return _is_text(one) or base == "bytea" or base.startswith("_") or (base in _UNORDERED and base != "bool")


def _base(one: Mapped) -> str:
    return one.staged.base if one.canonical == one.staged.type else one.canonical


def _measured(one: Mapped, value: sql.Composable) -> sql.Composable:
    """What the figures are of. Of texts the lengths: figures are shown to people, contents are not."""
    base, value = _base(one), one.comparable(value)
    if _is_text(one):
        return sql.SQL("length({})").format(value)
    if base == "bytea":
        return sql.SQL("octet_length({})").format(value)
    if base == "bool":
        return sql.SQL("({})::int").format(value)
    if base in _UNORDERED or base.startswith("_"):
        return sql.SQL("length(({})::text)").format(value)
    return value


def _measures(one: Mapped, value: sql.Composable) -> list[sql.Composable]:
    """Nulls, least, greatest, sum; the last three as text."""
    base = _base(one)
    summed = base in _NUMBERS or base in _UNORDERED or base.startswith("_") or _is_text(one)
    return [
        sql.SQL("count(*) FILTER (WHERE {} IS NULL)").format(value),
        sql.SQL("min({})::text").format(value),
        sql.SQL("max({})::text").format(value),
        sql.SQL("sum({})::text" if summed else "NULL::text").format(value),
    ]


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value
