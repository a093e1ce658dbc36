"""The way back: rows that were inserted go, rows that were merged become what they were, sequences stand as before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, LiteralString

from psycopg import sql

from checks.errors import CheckError
from checks.tools.postgres import Connection, one
from checks.tools.transition import allowances, catalog, keeping
from checks.tools.transition.keeping import Position, Standing
from checks.tools.transition.work import SCHEMA, Action, column, key_text, listed, row_hash
from checks.tools.transition.writing import switch_triggers

_INSERTED, _MERGED = sql.Literal(int(Action.INSERT)), sql.Literal(int(Action.MERGE))
_UNTOUCHED = "Nothing was undone."


@dataclass
class Undone:
    """What an undo did; ``refusals``: sentences, and then nothing was done."""

    refusals: list[str] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    sequences: list[str] = field(default_factory=list)
    kept_sequences: list[str] = field(default_factory=list)


@dataclass
class _Table:
    """``free``: columns that triggers may write, as the plan says: what an undo makes of them is nobody's to prove."""

    number: int
    shape: catalog.Shape
    keys: Sequence[str]
    place: int
    postponed: Sequence[str]
    veiled: Sequence[int]
    free: Sequence[str]

    @property
    def labels(self) -> set[str]:
        """Under which names its rows can be read: its own, and those of the tables that it is a partition of."""
        return {self.shape.label, *self.shape.ancestors}

    @property
    def kept(self) -> sql.Identifier:
        return keeping.keys_table(self.place, self.number)

    @property
    def before(self) -> sql.Identifier:
        return keeping.before_table(self.place, self.number)

    def named(self, left: str = "t", right: str = "m") -> sql.Composable:
        """The row of the target (``left``) that a kept key names."""
        return sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(column(left, name), column(right, f"t{place}"))
            for place, name in enumerate(self.keys, 1)
        )


def tables_of(connection: Connection, standing: Standing, may_change: Mapping[str, str]) -> list[_Table]:
    """The tables of a transition, in the order in which they were written. ``may_change``: of the plan."""
    found = []
    for entry in standing.document["tables"]:
        shape = catalog.shape(connection, entry["table"])
        if shape is None:
            raise CheckError(f"The target has no table {entry['table']} any more.", remedy=_UNTOUCHED)
        free = allowances.of_table(shape.label, shape.columns, may_change)
        veiled = entry.get("veiled", [])
        found.append(_Table(entry["number"], shape, entry["keys"], standing.place, entry["postponed"], veiled, free))
    return found


def undo(connection: Connection, standing: Standing, *, triggers: str, may_change: Mapping[str, str]) -> Undone:
    """Undo a transition in the open transaction. With ``refusals`` the caller rolls back."""
    tables = tables_of(connection, standing, may_change)
    document, seed = standing.document, int(standing.document["seed"])
    undone = Undone()
    later = keeping.later(connection, standing.place)
    settled = [each for each in later if each.settled]
    if settled:
        undone.refusals.append(
            f"{settled[0].told_settled} after run {standing.told}, so neither can be taken back any more."
        )
        return undone
    if later:
        told = ", ".join(each.told for each in later)
        undone.refusals.append(f"Runs {told} moved data after run {standing.told}. Undo those first.")
        return undone
    if not all(is_there(connection, kept) for table in tables for kept in (table.kept, table.before)):
        undone.refusals.append(f"What an undo of run {standing.told} needs was dropped from {SCHEMA}, so it stays.")
        return undone
    for table in tables:
        undone.refusals += _reshaped(connection, table)
    if undone.refusals:
        return undone
    for table in tables:
        undone.refusals += _changed(connection, table, seed)
    undone.refusals += _referred(connection, tables)
    if undone.refusals:
        return undone
    connection.execute("SET CONSTRAINTS ALL DEFERRED")
    for table in tables if triggers == "off" else []:
        switch_triggers(connection, table.shape, on=False)
    _restore_all(connection, tables, seed, undone)
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for table in tables if triggers == "off" else []:
        switch_triggers(connection, table.shape, on=True)
    _sequences(connection, tables, document, undone)
    keeping.forget(connection, standing.place, [table.number for table in tables])
    return undone


def told_settled(standing: Standing) -> str:
    return f"{standing.told_settled}, so it can no longer be taken back."


def is_there(connection: Connection, table: sql.Identifier) -> bool:
    return bool(one(connection, "SELECT to_regclass(%s) IS NOT NULL", [table.as_string(connection)]))


def _reshaped(connection: Connection, table: _Table) -> list[str]:
    """Other columns than then: each row would look changed, and merged rows could not become what they were."""
    query: LiteralString = """
        SELECT attname, format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute
        WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
    """
    then = set(connection.execute(query, [table.before.as_string(connection)]).fetchall())
    now = {(each.name, each.type) for each in table.shape.columns.values()}
    names = ", ".join(sorted({name for name, _ in then ^ now}))
    told = f"{table.shape.label} has other columns than when its rows were moved ({names}). Bring them back first."
    return [told] if names else []


def _changed(connection: Connection, table: _Table, seed: int) -> list[str]:
    """Rows that somebody changed or removed since; their own work would be lost."""
    query = sql.SQL(
        "SELECT count(*) FILTER (WHERE t.{key} IS NULL), count(*) FILTER (WHERE {hash} <> m.h),"
        " (array_agg({keys}) FILTER (WHERE t.{key} IS NULL OR {hash} <> m.h))[1:20]"
        " FROM {kept} m LEFT JOIN {table} t ON {named} WHERE m.action IN ({ins}, {merged})"
    ).format(
        key=sql.Identifier(table.keys[0]), hash=row_hash(table.shape, seed), kept=table.kept,
        keys=key_text([column("m", f"t{place}") for place in range(1, len(table.keys) + 1)], table.veiled),
        table=table.shape.identifier, named=table.named(), ins=_INSERTED, merged=_MERGED,
    )  # fmt: skip
    row = connection.execute(query).fetchone()
    assert row is not None
    gone, changed, keys = row
    told = []
    if gone:
        told.append(f"{table.shape.label}: {gone:,} rows that were moved are gone ({', '.join(keys)}).")
    if changed:
        told.append(f"{table.shape.label}: {changed:,} rows were changed since ({', '.join(keys)}).")
    return told


def _referred(connection: Connection, tables: Sequence[_Table]) -> list[str]:
    """Rows of others that name a row which would go, and so would go with it or keep it from going."""
    told = []
    for table in tables:
        for key in table.shape.children:
            schema, _, name = key.table.partition(".")
            pairs = sql.SQL(" AND ").join(
                sql.SQL("{} = {}").format(column("c", child), column("t", parent))
                for child, parent in zip(key.columns, key.foreign, strict=True)
            )
            ours = sql.Composed([_but_ours(child, key.table) for child in tables if key.table in child.labels])
            query = sql.SQL("SELECT count(*) FROM {} m JOIN {} t ON {} JOIN {} c ON {} WHERE m.action = {}{}").format(
                table.kept, table.shape.identifier, table.named(), sql.Identifier(schema, name), pairs, _INSERTED, ours
            )
            row = connection.execute(query).fetchone()
            if row and row[0]:
                told.append(f"{key.table}: {row[0]:,} rows refer to rows of {table.shape.label} that would go.")
    return told


def _but_ours(child: _Table, label: str) -> sql.Composable:
    """A condition on rows ``c`` of the table ``label``: not those that the transition wrote into it, or a partition."""
    within: sql.Composable = sql.SQL("")
    if label != child.shape.label:
        within = sql.SQL(" AND c.tableoid IN (SELECT relid FROM pg_partition_tree({}::oid::regclass))").format(
            sql.Literal(child.shape.oid)
        )
    return sql.SQL(" AND NOT EXISTS (SELECT FROM {} o WHERE o.action IN ({}, {}) AND {}{})").format(
        child.kept, _INSERTED, _MERGED, child.named("c", "o"), within
    )


def _restore_all(connection: Connection, tables: Sequence[_Table], seed: int, undone: Undone) -> None:
    """Merged rows back to what was kept, inserted rows away; each table is proven to be what it was otherwise.

    In this order, since no step may leave a reference to a row that goes, nor two rows with one unique value:
    what merged rows refer to, the circles of inserted rows, the inserted rows, the rest of the merged rows.
    """
    expected = {table.number: _expected(connection, table, seed) for table in tables}
    for table in tables:
        _unmerge(connection, table, [name for key in table.shape.foreign_keys for name in key.columns])
        _open_circle(connection, table)
    deleted = {table.number: _delete(connection, table) for table in reversed(tables)}
    for table in tables:
        _unmerge(connection, table, list(table.shape.columns))
        restored = _sums(connection, sql.SQL("FROM {} t").format(table.before), table, seed)[0]
        after = _sums(connection, sql.SQL("FROM {} t").format(table.shape.identifier), table, seed)
        wanted = expected[table.number]
        if after != wanted:
            undone.refusals.append(f"{table.shape.label} would not be what it was: {after[0]:,} of {wanted[0]:,} rows.")
        undone.tables.append(
            {"table": table.shape.label, "deleted": deleted[table.number], "restored": restored, "rows": after[0]}
        )


def _expected(connection: Connection, table: _Table, seed: int) -> tuple[int, Decimal]:
    """All rows now, less those of the transition, and the merged ones as they were kept."""
    everything = _sums(connection, sql.SQL("FROM {} t").format(table.shape.identifier), table, seed)
    ours = sql.SQL("FROM {} t JOIN {} m ON {} AND m.action IN ({}, {})").format(
        table.shape.identifier, table.kept, table.named(), _INSERTED, _MERGED
    )
    moved = _sums(connection, ours, table, seed)
    kept = _sums(connection, sql.SQL("FROM {} t").format(table.before), table, seed)
    return everything[0] - moved[0] + kept[0], everything[1] - moved[1] + kept[1]


def _delete(connection: Connection, table: _Table) -> int:
    return connection.execute(
        sql.SQL("DELETE FROM {} t USING {} m WHERE {} AND m.action = {}").format(
            table.shape.identifier, table.kept, table.named(), _INSERTED
        )
    ).rowcount


def _open_circle(connection: Connection, table: _Table) -> None:
    """Columns that were written in a second step are emptied again, so that the rows they name can go."""
    if not table.postponed:
        return
    values = listed(sql.SQL("{} = NULL").format(sql.Identifier(name)) for name in table.postponed)
    connection.execute(
        sql.SQL("UPDATE {} t SET {} FROM {} m WHERE {} AND m.action = {}").format(
            table.shape.identifier, values, table.kept, table.named(), _INSERTED
        )
    )


def _unmerge(connection: Connection, table: _Table, columns: Sequence[str]) -> None:
    """Merged rows get these columns back, where they are not so already."""
    writable = [name for name in dict.fromkeys(columns) if not table.shape.columns[name].generated]
    names = [name for name in writable if name not in table.keys]
    if not names:
        return
    pairs = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(column("t", name), column("b", name)) for name in table.keys
    )
    values = listed(sql.SQL("{} = {}").format(sql.Identifier(name), column("b", name)) for name in names)
    differs = sql.SQL(" OR ").join(
        sql.SQL("{}::text IS DISTINCT FROM {}::text").format(column("t", name), column("b", name)) for name in names
    )
    connection.execute(
        sql.SQL("UPDATE {} t SET {} FROM {} b WHERE {} AND ({})").format(
            table.shape.identifier, values, table.before, pairs, differs
        )
    )


def _sums(connection: Connection, rows: sql.Composable, table: _Table, seed: int) -> tuple[int, Decimal]:
    query = sql.SQL("SELECT count(*), COALESCE(sum({}), 0) {}").format(
        row_hash(table.shape, seed, without=table.free), rows
    )
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0], Decimal(row[1])


def _sequences(connection: Connection, tables: Sequence[_Table], document: Mapping[str, Any], undone: Undone) -> None:
    """Back to where they stood, unless somebody took numbers since: then the rows that have them need them."""
    for table in tables:
        for own in table.shape.sequences:
            stood = document["sequences"].get(own.label)
            if stood is None or stood["before"] == stood["after"]:
                continue
            now = keeping.hold_sequence(connection, own)
            if [now.last, now.called] == stood["after"]:
                keeping.set_sequence(connection, own, Position(*stood["before"]))
                undone.sequences.append(own.label)
            else:
                undone.kept_sequences.append(own.label)
