"""From the source into unlogged tables of the target: COPY out of one, COPY into the other, nothing in between.

Unlogged and not temporary: only what is no session's own can be read by several processes of the server at once. Nobody
sees them, since the transaction that makes them removes them.
"""

from collections.abc import Callable, Iterable

from psycopg import sql

from checks.kinds.base import RunContext
from checks.tools.postgres import Connection, one
from checks.tools.transition.expression import names_in, tells_the_time
from checks.tools.transition.work import TableWork, column, hash_of, listed


def rows_of(source: Connection, work: TableWork) -> int:
    """How many rows will come: so that the copying can tell how far it is."""
    return int(one(source, sql.SQL("SELECT count(*) FROM {} x").format(work.source.identifier)))  # type: ignore[arg-type]


def count(source: Connection, work: TableWork, seed: int) -> None:
    """Rows, checksum and the rows of each rule, computed by the source itself, apart from the copying.

    The checksum is of everything that travels: keys and what refers to other rows as well.
    """
    rules = [
        sql.SQL(", count(*) FILTER (WHERE {} = {})").format(_rule(work), sql.Literal(place))
        for place in range(1, len(work.mapping.skip) + 1)
    ]
    timed = _timed(work)
    steady = (
        sql.SQL(", COALESCE(sum({}), 0)::text").format(hash_of(_steady(work), seed, work.source.server))
        if timed
        else sql.SQL("")
    )
    query = sql.SQL("SELECT count(*), COALESCE(sum({}), 0)::text{}{} FROM {} x").format(
        hash_of(_arriving(work), seed, work.source.server), steady, sql.Composed(rules), work.source.identifier
    )
    row = source.execute(query).fetchone()
    assert row is not None
    work.source_rows, work.source_sum, *more = row
    work.steady_sum = more.pop(0) if timed else work.source_sum
    work.rule_rows = more


def _timed(work: TableWork) -> bool:
    """Whether anything that travels depends on when it is asked for."""
    texts = [*(one.source.sql for one in work.columns.values()), *(rule.when for rule in work.mapping.skip)]
    return any(tells_the_time(text) for text in texts)


def _steady(work: TableWork) -> list[sql.Composable]:
    """What travels, but for what the clock decides the columns of the row that it is computed from."""
    values, first = _arriving(work), len(work.keys)
    steady = values[:first]
    for mapped, value in zip(work.columns.values(), values[first:-1], strict=True):
        steady += _made_from(work, mapped.source.sql) if tells_the_time(mapped.source.sql) else [value]
    rules = [rule.when for rule in work.mapping.skip]
    if not any(tells_the_time(text) for text in rules):
        return [*steady, values[-1]]
    return [*steady, *(name for text in rules for name in _made_from(work, text))]


def _made_from(work: TableWork, text: str) -> list[sql.Composable]:
    names = sorted(names_in(text) & work.source.columns.keys())
    return [sql.SQL("({})::text").format(column("x", name)) for name in names]


def stage(
    context: RunContext,
    target: Connection,
    work: TableWork,
    pieces: Iterable[tuple[bytes, int]],
    progress: Callable[[int], None],
) -> None:
    """Fill the table's stage with what ``unload`` gives. ``progress``: rows since the last call."""
    _create(target, work)
    with target.cursor().copy(sql.SQL("COPY {} FROM STDIN (FORMAT binary, FREEZE)").format(work.stage)) as writing:
        for content, rows in pieces:
            writing.write(content)
            progress(rows)
            context.check()


def arrived(target: Connection, work: TableWork, seed: int) -> tuple[int, str]:
    """(rows, checksum) of the stage, to hold against what ``count`` was told by the source."""
    names = [*work.key_names, *(mapped.stage for mapped in work.columns.values()), "rule"]
    query = sql.SQL("SELECT count(*), COALESCE(sum({}), 0)::text FROM {} s").format(
        hash_of([column("s", name) for name in names], seed, work.target.server), work.stage
    )
    row = target.execute(query).fetchone()
    assert row is not None
    return row[0], row[1]


def analyse(target: Connection, work: TableWork) -> None:
    """What joins, sorts and groups go by; the other columns' figures would help nobody."""
    keyed = (name for unique in work.target.uniques for name in unique.columns)
    names = {*work.mapping.matched_by, *work.target.leading, *keyed}
    staged = [mapped.stage for name, mapped in work.columns.items() if name in names or mapped.reference is not None]
    columns = listed(sql.Identifier(name) for name in [*work.key_names, *staged, "rule"])
    target.execute(sql.SQL("ANALYZE {} ({})").format(work.stage, columns))


def remove(target: Connection, works: Iterable[TableWork]) -> None:
    """Take stages and maps away, before the transaction is committed."""
    target.execute(sql.SQL("DROP TABLE {}").format(listed(name for work in works for name in (work.stage, work.map))))


def _create(target: Connection, work: TableWork) -> None:
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(key.type))
        for name, key in zip(work.key_names, work.keys, strict=True)
    ]
    columns += [
        sql.SQL("{} {}").format(sql.Identifier(mapped.stage), sql.SQL(mapped.staged.type))
        for mapped in work.columns.values()
    ]
    target.execute(sql.SQL("CREATE UNLOGGED TABLE {} ({}, rule smallint)").format(work.stage, listed(columns)))


def unload(work: TableWork) -> sql.Composed:
    """What the source is asked for: each row as it travels."""
    return sql.SQL("COPY (SELECT {} FROM {} x) TO STDOUT (FORMAT binary)").format(
        listed(_travelling(work)), work.source.identifier
    )


def _travelling(work: TableWork) -> list[sql.Composable]:
    """What the source gives of each row, in the order of the stage's columns."""
    values = [*(key.expression for key in work.keys), *(mapped.staged.expression for mapped in work.columns.values())]
    return [*values, _rule(work)]


def _arriving(work: TableWork) -> list[sql.Composable]:
    """What travels, in the types in which it arrives: a record tells the types of its values as well, and to the source
    a domain, or a constant without a type, is another one than to the stage."""
    staged = [*work.keys, *(mapped.staged for mapped in work.columns.values())]
    values = [sql.SQL("({})::{}").format(one.expression, sql.SQL(one.type)) for one in staged]
    return [*values, _rule(work)]


def _rule(work: TableWork) -> sql.Composable:
    """The number of the first rule that leaves a row out; 0 where none does."""
    whens = [
        sql.SQL(" WHEN ({}) THEN {}").format(sql.SQL(rule.when), sql.Literal(place))
        for place, rule in enumerate(work.mapping.skip, 1)
    ]
    return sql.SQL("(CASE{} ELSE 0 END)::smallint").format(sql.Composed(whens)) if whens else sql.SQL("0::smallint")
