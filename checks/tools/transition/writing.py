"""The move itself: insert what is new, merge what is there, fill in what had to wait, and push the sequences on."""

from psycopg import sql

from checks.tools.postgres import Connection
from checks.tools.transition import keeping, ordering
from checks.tools.transition.catalog import Shape
from checks.tools.transition.work import Action, TableWork, column, listed


def switch_triggers(target: Connection, table: Shape, *, on: bool) -> None:
    """Disable the triggers of the table and of each partition, in this transaction; ``on``: as they were.

    What is done to a partitioned table is done to its partitions: they come after it, so that each has its own state.
    """
    for trigger in table.triggers:
        target.execute(trigger.switched(on=on))


def insert(target: Connection, work: TableWork) -> int:
    """Insert every row with that action, in one statement; returns how many."""
    names, values = [], []
    if work.mapping.keys == "new":
        names.append(work.mapping.keys_in_target[0])
        values.append(column("m", "t1"))
    for name in work.columns:
        if name not in work.postponed:
            names.append(name)
            values.append(work.value(name))
    always = any(work.target.columns[name].always for name in names)
    return target.execute(
        sql.SQL("INSERT INTO {} ({}){} SELECT {} FROM {} JOIN {} m ON {} AND m.action = {}{}").format(
            work.target.identifier,
            listed(sql.Identifier(name) for name in names),
            sql.SQL(" OVERRIDING SYSTEM VALUE" if always else ""),
            listed(values),
            work.joins,
            work.map,
            work.same_key(),
            sql.Literal(int(Action.INSERT)),
            ordering.order(target, work),
        )
    ).rowcount


def second_step(target: Connection, work: TableWork) -> None:
    """When every row is there: columns of a circle that were left null, and what merged rows refer to."""
    if work.postponed:
        values = listed(
            sql.SQL("{} = {}").format(sql.Identifier(name), work.value(name)) for name in sorted(work.postponed)
        )
        target.execute(
            sql.SQL("UPDATE {} t SET {} FROM {} JOIN {} m ON {} WHERE m.action = {} AND {}").format(
                work.target.identifier,
                values,
                work.joins,
                work.map,
                work.same_key(),
                sql.Literal(int(Action.INSERT)),
                work.at_target(),
            )
        )
    _merge(target, work, [name for name in work.merged_columns() if work.columns[name].reference])


def merged_value(work: TableWork, name: str, there: str) -> sql.Composable:
    """What a merge makes of a column; ``there``: the alias under which the target's old row stands."""
    old, new = column(there, name), work.value(name)
    rules = {
        "source": new,
        "target": old,
        "greatest": sql.SQL("GREATEST({}, {})").format(old, new),
        "least": sql.SQL("LEAST({}, {})").format(old, new),
        "fill": sql.SQL("COALESCE({}, {})").format(old, new),
    }
    return rules[work.mapping.merge.get(name, "target")]


def merge(target: Connection, work: TableWork) -> None:
    """Update rows that are there, by the rule of each column; what they refer to waits for the second step."""
    _merge(target, work, [name for name in work.merged_columns() if not work.columns[name].reference])


def _merge(target: Connection, work: TableWork, names: list[str]) -> None:
    """A row in which nothing changes is not touched."""
    if not names:
        return
    differs = sql.SQL(" OR ").join(
        sql.SQL("({})::text IS DISTINCT FROM ({})::text").format(column("t", name), merged_value(work, name, "t"))
        for name in names
    )
    target.execute(
        sql.SQL("UPDATE {} t SET {} FROM {} JOIN {} m ON {} WHERE m.action = {} AND {} AND ({})").format(
            work.target.identifier,
            listed(sql.SQL("{} = {}").format(sql.Identifier(name), merged_value(work, name, "t")) for name in names),
            work.joins,
            work.map,
            work.same_key(),
            sql.Literal(int(Action.MERGE)),
            work.at_target(),
            differs,
        )
    )


def advance(target: Connection, work: TableWork) -> dict[str, dict[str, int]]:
    """Push each sequence of the table past what its column holds now; never backwards. Label -> from, to."""
    moved = {}
    for own in work.target.sequences:
        before = keeping.position(target, own)
        extreme = sql.SQL("max" if own.increment > 0 else "min")
        # What lies outside of its range it never gives out, and could not be set to.
        row = target.execute(
            sql.SQL("SELECT {0}({1})::bigint FROM {2} WHERE {1} BETWEEN {3} AND {4}").format(
                extreme, sql.Identifier(own.column), work.target.identifier, sql.Literal(own.least),
                sql.Literal(own.greatest),
            )
        ).fetchone()  # fmt: skip
        held = row[0] if row else None
        next_free = before.last + own.increment if before.called else before.last
        if held is None or (held < next_free if own.increment > 0 else held > next_free):
            continue
        keeping.set_sequence(target, own, keeping.Position(held, called=True))
        moved[own.label] = {"from": before.last, "to": held}
    return moved
