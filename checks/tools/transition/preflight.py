"""Everything that would go wrong, named before a row is written: one Conflict for each reason, with the keys."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from checks.tools.postgres import Connection
from checks.tools.transition import asking
from checks.tools.transition.work import Action, Mapped, TableWork, column, listed

MAX_KEYS = 20


@dataclass(frozen=True)
class Conflict:
    """``rows`` rows of the source cannot be moved as declared. ``keys``: source keys of the first of them.

    Keys, never values: what a person typed about themselves stays in the databases, also where it is the key.
    """

    table: str
    kind: str
    about: str
    rows: int
    keys: list[str]
    text: str
    remedy: str

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


_STOPS = {
    Action.STOP_NEW: ("new", "are not in the target", "Say new: insert or new: skip, or add them to the target."),
    Action.STOP_THERE: ("existing", "are in the target already", "Say existing: merge or existing: skip."),
    Action.STOP_TWIN: ("duplicate", "are the same as another row of the source by {match}",
                       "Merge them in the source, or say duplicates: first."),
    Action.STOP_ORPHAN: ("orphan", "refer to a row that does not arrive",
                         "Move what they refer to as well, say orphans: skip, or mend the source."),
    Action.STOP_AMBIGUOUS: ("ambiguous", "are several rows of the target by {match}",
                            "Merge those rows in the target, or match by more columns."),
}  # fmt: skip


def _one(connection: Connection, query: sql.Composed) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


def keys_of(connection: Connection, work: TableWork, rows: sql.Composable, alias: str) -> list[str]:
    """The first source keys of ``SELECT ... rows`` (a FROM clause with its conditions)."""
    key = work.key_text(column(alias, name) for name in work.key_names)
    order = listed(column(alias, name) for name in work.key_names)
    query = sql.SQL("SELECT {} {} ORDER BY {} LIMIT {}").format(key, rows, order, sql.Literal(MAX_KEYS))
    return [found for (found,) in connection.execute(query).fetchall()]


def found(
    connection: Connection, work: TableWork, rows: sql.Composable, *, alias: str, kind: str, about: str, text: str,
    remedy: str,
) -> Iterator[Conflict]:  # fmt: skip
    """A conflict where ``rows`` (a FROM clause with its conditions) is not empty."""
    count = _one(connection, sql.SQL("SELECT count(*) {}").format(rows))
    if count:
        keys = keys_of(connection, work, rows, alias)
        yield Conflict(work.label, kind, about, count, keys, text, remedy)


def misfits(connection: Connection, work: TableWork) -> list[Conflict]:
    """Values that the target's types cannot hold, or would change. Marks such columns, so that no later query fails."""
    return list(_misfits(connection, work))


def _misfits(connection: Connection, work: TableWork) -> Iterator[Conflict]:
    for one in work.columns.values():
        if one.reference is not None:
            if one.reference.column_of(one).type != one.column.type:
                one.fits = asking.takes(connection, one.reference.value_of(one), one.column.type)
            continue
        if one.same_type:
            continue
        value = column("s", one.stage)
        one.fits = asking.takes(connection, one.asked(), one.column.type)
        misfit = sql.SQL("FROM {} s WHERE s.rule = 0 AND {} IS NOT NULL AND NOT {}").format(work.stage, value, one.fits)
        conflicts = list(found(
            connection, work, misfit, alias="s", kind="overflow", about=one.column.name,
            text=f"do not fit into {one.column.type}",
            remedy="Widen the column in the target, or shorten the value by an expression (sql:).",
        ))  # fmt: skip
        if conflicts:
            one.wrong = True
        yield from conflicts
        yield from _altered(connection, work, one)


def _altered(connection: Connection, work: TableWork, one: Mapped) -> Iterator[Conflict]:
    """Values that fit, but come back as something else: rounded, cut, or written anew."""
    value = column("s", one.stage)
    rows = sql.SQL("FROM {} s WHERE s.rule = 0 AND {} IS NOT NULL AND {} AND record_send(ROW({})) <> {}").format(
        work.stage,
        value,
        one.fits if one.wrong and one.fits else sql.SQL("true"),
        one.comparable(one.cast()),
        sql.SQL("record_send(ROW({}))").format(one.comparable(value)),
    )
    return found(
        connection, work, rows, alias="s", kind="altered", about=one.column.name,
        text=f"would be changed by the type {one.column.type}",
        remedy="Widen the column in the target, or say what is wanted by an expression (sql:).",
    )  # fmt: skip


def keys(connection: Connection, work: TableWork) -> list[Conflict]:
    """Rows that their key does not name: it is null, or that of another row as well."""
    there, key = work.source, work.mapping.key
    named = [unique for unique in there.uniques if unique.valid and not unique.predicate and all(unique.plain)]
    if all(there.columns[name].not_null for name in key) and any(set(one.plain) <= set(key) for one in named):
        return []
    names, about = [column("s", name) for name in work.key_names], ", ".join(key)
    nothing = sql.SQL(" OR ").join(sql.SQL("{} IS NULL").format(name) for name in names)
    many = sql.SQL("FROM (SELECT s.*, count(*) OVER (PARTITION BY {}) AS many FROM {} s WHERE NOT ({})) s")
    without = sql.SQL("FROM {} s WHERE s.rule = 0 AND ({})").format(work.stage, nothing)
    shared = sql.SQL("{} WHERE many > 1").format(many.format(listed(names), work.stage, nothing))
    remedy = "Name a key (key:) that is not null and different in every row of the source."
    return [
        *found(connection, work, without, alias="s", kind="key", about=about, text="have no key", remedy=remedy),
        *found(connection, work, shared, alias="s", kind="key", about=about, text="have the key of another row",
               remedy=remedy),
    ]  # fmt: skip


def stops(tally: dict[tuple[Action, int], int], connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """Rows for which the plan says stop."""
    for action, (kind, text, remedy) in _STOPS.items():
        rows = sum(count for (found, _), count in tally.items() if found == action)
        if rows:
            where = sql.SQL("FROM {} m WHERE m.action = {}").format(work.map, sql.Literal(int(action)))
            match = ", ".join(work.mapping.matched_by)
            keys = keys_of(connection, work, where, "m")
            yield Conflict(work.label, kind, match, rows, keys, text.format(match=match), remedy)


def arriving(work: TableWork, actions: Sequence[Action]) -> sql.Composable:
    """FROM: the rows with these actions, with everything that ``TableWork.value`` needs."""
    return sql.SQL("{} JOIN {} m ON {} AND m.action IN ({})").format(
        work.joins, work.map, work.same_key(), listed(sql.Literal(int(action)) for action in actions)
    )


def nulls(connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """Nulls where the target takes none."""
    new = work.mapping.keys_in_target if work.mapping.keys == "new" else []
    strict = [one for one in work.target.columns.values() if one.not_null and not one.generated and one.name not in new]
    for one in strict:
        if one.name not in work.columns and not one.has_default:
            yield from found(
                connection, work, sql.SQL("FROM {}").format(arriving(work, [Action.INSERT])), alias="m",
                kind="null", about=one.name, text="would get no value, and the target takes no null",
                remedy="Map the column, or give it a constant (value:).",
            )  # fmt: skip
    asked = [one.name for one in strict if one.name in work.columns and not work.columns[one.name].wrong]
    for name in _with_nulls(connection, work, asked):
        rows = sql.SQL("FROM {} WHERE {}").format(arriving(work, [Action.INSERT, Action.MERGE]), _null(work, name))
        yield from found(
            connection, work, rows, alias="m", kind="null", about=name,
            text="hold a null where the target takes none",
            remedy="Give a value by an expression, such as coalesce(...), or mend the source.",
        )  # fmt: skip


def _null(work: TableWork, name: str) -> sql.Composable:
    """Whether a row would bring a null: when it is inserted, or when a merge takes the source's value."""
    inserted = sql.SQL("m.action = {} AND ").format(sql.Literal(int(Action.INSERT)))
    narrow = sql.SQL("") if work.mapping.merge.get(name) == "source" else inserted
    return sql.SQL("{}{} IS NULL").format(narrow, work.value(name))


def _with_nulls(connection: Connection, work: TableWork, names: Sequence[str]) -> list[str]:
    """Which of the columns have such a row; all of them asked in one look at the rows."""
    if not names:
        return []
    found = connection.execute(
        sql.SQL("SELECT {} FROM {}").format(
            listed(sql.SQL("COALESCE(bool_or({}), false)").format(_null(work, name)) for name in names),
            arriving(work, [Action.INSERT, Action.MERGE]),
        )
    ).fetchone()
    return [name for name, null in zip(names, found or (), strict=True) if null]
