"""Everything that would go wrong, named before a row is written: one Conflict for each reason, with the keys."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from checks.tools.postgres import Connection
from checks.tools.transition.catalog import ForeignKey, Unique
from checks.tools.transition.matching import folded, textual
from checks.tools.transition.work import Action, Mapped, TableWork, column, equal, listed

MAX_KEYS = 20


@dataclass(frozen=True)
class Conflict:
    """``rows`` rows of the source cannot be moved as declared. ``keys``: source keys of the first of them.

    Keys, never values: what a person typed about themselves stays in the databases.
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
    key = sql.SQL("concat_ws(', ', {})").format(listed(column(alias, name) for name in work.key_names))
    order = listed(column(alias, name) for name in work.key_names)
    query = sql.SQL("SELECT {} {} ORDER BY {} LIMIT {}").format(key, rows, order, sql.Literal(MAX_KEYS))
    return [found for (found,) in connection.execute(query).fetchall()]


def _found(
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
    if connection.info.server_version < 160000:
        return
    for one in work.columns.values():
        if one.reference is not None or one.same_type:
            continue
        value = column("s", one.stage)
        misfit = sql.SQL("FROM {} s WHERE s.rule = 0 AND {} IS NOT NULL AND NOT {}").format(
            work.stage, value, one.fits()
        )
        conflicts = list(_found(
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
        one.fits() if one.wrong else sql.SQL("true"),
        one.comparable(one.cast()),
        sql.SQL("record_send(ROW({}))").format(one.comparable(value)),
    )
    return _found(
        connection, work, rows, alias="s", kind="altered", about=one.column.name,
        text=f"would be changed by the type {one.column.type}",
        remedy="Widen the column in the target, or say what is wanted by an expression (sql:).",
    )  # fmt: skip


def stops(tally: dict[tuple[Action, int], int], connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """Rows for which the plan says stop."""
    for action, (kind, text, remedy) in _STOPS.items():
        rows = sum(count for (found, _), count in tally.items() if found == action)
        if rows:
            where = sql.SQL("FROM {} m WHERE m.action = {}").format(work.map, sql.Literal(int(action)))
            match = ", ".join(work.mapping.matched_by)
            keys = keys_of(connection, work, where, "m")
            yield Conflict(work.label, kind, match, rows, keys, text.format(match=match), remedy)


def _arriving(work: TableWork, actions: Sequence[Action]) -> sql.Composable:
    """FROM: the rows with these actions, with everything that ``TableWork.value`` needs."""
    return sql.SQL("{} JOIN {} m ON {} AND m.action IN ({})").format(
        work.joins, work.map, work.same_key(), listed(sql.Literal(int(action)) for action in actions)
    )


def nulls(connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """Nulls where the target takes none."""
    for name, one in work.target.columns.items():
        if not one.not_null or one.generated or name in work.mapping.keys_in_target:
            continue
        if name not in work.columns:
            if not one.has_default:
                yield from _found(
                    connection, work, sql.SQL("FROM {}").format(_arriving(work, [Action.INSERT])), alias="m",
                    kind="null", about=name, text="would get no value, and the target takes no null",
                    remedy="Map the column, or give it a constant (value:).",
                )  # fmt: skip
            continue
        merged = [Action.MERGE] if work.mapping.merge.get(name) == "source" else []
        rows = sql.SQL("FROM {} WHERE {} IS NULL").format(_arriving(work, [Action.INSERT, *merged]), work.value(name))
        if not work.columns[name].wrong:
            yield from _found(
                connection, work, rows, alias="m", kind="null", about=name,
                text="hold a null where the target takes none",
                remedy="Give a value by an expression, such as coalesce(...), or mend the source.",
            )  # fmt: skip


def foreign(connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """References to tables that are not moved: what they name must be there under the same key."""
    followed = {one.constraint for one in work.references}
    for key in work.target.foreign_keys:
        if key.name in followed or any(name not in work.columns for name in key.columns):
            continue
        if any(work.columns[name].reference for name in key.columns):
            continue
        yield from _found(
            connection, work, _unknown(work, key), alias="m", kind="orphan", about=", ".join(key.columns),
            text=f"refer to a row of {key.table} that is not in the target",
            remedy=f"Move {key.table} as well, match it (new: stop, existing: skip), or leave such rows out.",
        )  # fmt: skip


def _unknown(work: TableWork, key: ForeignKey) -> sql.Composable:
    schema, _, name = key.table.partition(".")
    values = [work.value(one) for one in key.columns]
    pairs = [(value, column("f", one)) for value, one in zip(values, key.foreign, strict=True)]
    given = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(value) for value in values)
    return sql.SQL("FROM {} WHERE {} AND NOT EXISTS (SELECT FROM {} f WHERE {})").format(
        _arriving(work, [Action.INSERT]), given, sql.Identifier(schema, name), equal(pairs)
    )


def checks(connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """CHECK constraints of the target whose columns all arrive."""
    for name, condition, columns in work.target.checks:
        if any(one not in work.columns or work.columns[one].wrong for one in columns):
            continue
        row = listed(sql.SQL("{} AS {}").format(work.value(one), sql.Identifier(one)) for one in columns)
        keys = listed(sql.SQL("m.{0} AS {0}").format(sql.Identifier(one)) for one in work.key_names)
        rows = sql.SQL("FROM (SELECT {}{} FROM {}) q WHERE NOT ({})").format(
            keys, sql.SQL(", {}").format(row) if columns else sql.SQL(""), _arriving(work, [Action.INSERT]),
            sql.SQL(condition),
        )  # fmt: skip
        yield from _found(
            connection, work, rows, alias="q", kind="check", about=name, text=f"break the target's rule {name}",
            remedy="Mend the source, change the value by an expression, or leave such rows out.",
        )  # fmt: skip


def uniques(connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """Rows that a unique index of the target refuses, and rows that differ from another by case or composition only."""
    for unique in work.target.uniques:
        if not _asked(work, unique):
            continue
        exact = list(_collisions(connection, work, unique, []))
        yield from exact
        if not exact and work.mapping.near == "stop" and _near_matters(work, unique):
            utf8 = connection.info.parameter_status("server_encoding") == "UTF8"
            yield from _collisions(connection, work, unique, ["case", "nfc"] if utf8 else ["case"])


def _asked(work: TableWork, unique: Unique) -> bool:
    """Not where the key is new, a column is filled by the target, or recognising rows has settled it already."""
    keys = set(work.mapping.keys_in_target)
    if unique.primary and work.mapping.keys == "new":
        return False
    if any(name not in work.columns and name not in keys for name in unique.columns):
        return False
    if any(name in work.columns and work.columns[name].wrong for name in unique.columns):
        return False
    return not _settled(work, unique)


def _settled(work: TableWork, unique: Unique) -> bool:
    """Rows that collide in the index are one row by ``match``: it is on the matched columns, or lower of them."""
    matched = set(work.mapping.matched_by)
    if not matched or not matched <= set(unique.columns):
        return False
    for key, plain in zip(unique.keys, unique.plain, strict=True):
        if plain is None and not (key.lower().startswith("lower(") and "case" in work.mapping.ignoring):
            return False
    return True


def _near_matters(work: TableWork, unique: Unique) -> bool:
    return all(unique.plain) and any(textual(work, str(name)) for name in unique.plain)


def _collisions(connection: Connection, work: TableWork, unique: Unique, ignoring: list[str]) -> Iterator[Conflict]:
    """Arriving rows against each other, then against rows of the target that none of them is."""
    kind = "near" if ignoring else "unique"
    how = " but for case or composition" if ignoring else ""
    names = ", ".join(str(name) for name in unique.plain) if all(unique.plain) else unique.name
    remedies = {
        "unique": "Recognise such rows by match:, mend the source, or leave them out.",
        "near": "Recognise such rows by match: with ignoring:, mend the source, or say near: allow.",
    }
    arriving = sql.SQL("(SELECT {} FROM (SELECT {} FROM {}) t{})").format(
        _keyed(work, unique, ignoring), _arriving_columns(work, unique),
        _arriving(work, _written(work, unique)), _predicate(unique),
    )  # fmt: skip
    values = [f"u{place}" for place in range(1, len(unique.keys) + 1)]
    given = sql.SQL(" AND ").join(sql.SQL("q.{} IS NOT NULL").format(sql.Identifier(one)) for one in values)
    window = listed(column("q", one) for one in values)
    among = sql.SQL("FROM (SELECT q.*, count(*) OVER (PARTITION BY {}) AS many FROM {} q WHERE {}) q WHERE many > 1")
    yield from _found(
        connection, work, among.format(window, arriving, given), alias="q", kind=kind, about=names,
        text=f"are equal to another row of the source in {names}{how}", remedy=remedies[kind],
    )  # fmt: skip
    against = sql.SQL("FROM {} q JOIN (SELECT {} FROM {} t{}) o ON {} AND NOT ({})").format(
        arriving, _theirs(work, unique, ignoring), work.target.identifier, _predicate(unique),
        equal([(column("q", one), column("o", one)) for one in values]), _is_itself(work),
    )  # fmt: skip
    yield from _found(
        connection, work, against, alias="q", kind=kind, about=names,
        text=f"are equal to another row of the target in {names}{how}", remedy=remedies[kind],
    )  # fmt: skip


def _written(work: TableWork, unique: Unique) -> list[Action]:
    """Merged rows count where the merge writes a column of the index."""
    merged = set(unique.columns) & set(work.merged_columns())
    return [Action.INSERT, Action.MERGE] if merged else [Action.INSERT]


def _is_itself(work: TableWork) -> sql.Composable:
    """The target row ``o`` is the one that the arriving row is merged with."""
    pairs = [(column("q", name), column("o", f"x{n}")) for n, name in enumerate(work.target_key_names, 1)]
    return sql.SQL("q.action = {} AND {}").format(sql.Literal(int(Action.MERGE)), equal(pairs))


def _predicate(unique: Unique) -> sql.Composable:
    return sql.SQL(" WHERE {}").format(sql.SQL(unique.predicate)) if unique.predicate else sql.SQL("")


def _terms(work: TableWork, unique: Unique, ignoring: list[str]) -> Iterable[sql.Composable]:
    for place, (key, plain) in enumerate(zip(unique.keys, unique.plain, strict=True), 1):
        term: sql.Composable = sql.SQL("({})").format(sql.SQL(key))
        if ignoring and plain and textual(work, plain):
            term = folded(term, ignoring)
        yield sql.SQL("{} AS {}").format(term, sql.Identifier(f"u{place}"))


def _keyed(work: TableWork, unique: Unique, ignoring: list[str]) -> sql.Composable:
    carried = [sql.Identifier(f"gonogo_{name}") for name in [*work.key_names, *work.target_key_names]]
    named = [
        sql.SQL("{} AS {}").format(one, sql.Identifier(name))
        for one, name in zip(carried, [*work.key_names, *work.target_key_names], strict=True)
    ]
    return listed([*named, sql.SQL("gonogo_action AS action"), *_terms(work, unique, ignoring)])


def _arriving_columns(work: TableWork, unique: Unique) -> sql.Composable:
    """The index's columns under their own names, as each row will hold them; keys and action beside them."""
    keys = dict(zip(work.mapping.keys_in_target, work.target_key_names, strict=True))
    values = [
        sql.SQL("{} AS {}").format(
            work.value(name) if name in work.columns else column("m", keys[name]), sql.Identifier(name)
        )
        for name in unique.columns
    ]
    carried = [
        sql.SQL("{} AS {}").format(column("m", name), sql.Identifier(f"gonogo_{name}"))
        for name in [*work.key_names, *work.target_key_names]
    ]
    return listed([*values, *carried, sql.SQL("m.action AS gonogo_action")])


def _theirs(work: TableWork, unique: Unique, ignoring: list[str]) -> sql.Composable:
    keys = [
        sql.SQL("{} AS {}").format(column("t", name), sql.Identifier(f"x{n}"))
        for n, name in enumerate(work.mapping.keys_in_target, 1)
    ]
    return listed([*keys, *_terms(work, unique, ignoring)])
