"""From the source into temporary tables of the target: COPY out of one, COPY into the other, nothing in between."""

from collections.abc import Callable

from psycopg import sql

from checks.kinds.base import RunContext
from checks.tools.background import patiently
from checks.tools.postgres import Connection
from checks.tools.transition.work import TableWork, listed

_PIECE = 1 << 18


def count(source: Connection, work: TableWork, seed: int) -> None:
    """Rows, checksum and the rows of each rule, computed by the source itself, apart from the copying."""
    rules = [
        sql.SQL(", count(*) FILTER (WHERE {} = {})").format(_rule(work), sql.Literal(place))
        for place in range(1, len(work.mapping.skip) + 1)
    ]
    query = sql.SQL("SELECT count(*), COALESCE(sum({}), 0)::text{} FROM {} x").format(
        work.source_hash(seed), sql.Composed(rules), work.source.identifier
    )
    row = source.execute(query).fetchone()
    assert row is not None
    work.source_rows, work.source_sum, *work.rule_rows = row


def stage(
    context: RunContext,
    source: Connection,
    target: Connection,
    work: TableWork,
    seed: int,
    progress: Callable[[int], None],
) -> None:
    """Fill the table's stage. ``progress``: rows since the last call."""
    _create(target, work)
    out = source.cursor()
    into = target.cursor()
    pieces, size, rows = bytearray(), 0, 0
    with (
        out.copy(_unload(work, seed)) as reading,
        into.copy(sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(work.stage)) as writing,
    ):
        for block in reading:
            pieces += block
            rows += 1
            if len(pieces) >= _PIECE:
                writing.write(bytes(pieces))
                size += len(pieces)
                pieces.clear()
                progress(rows)
                rows = 0
                context.check()
        writing.write(bytes(pieces))
    progress(rows)
    patiently(context, target, lambda: target.execute(sql.SQL("ANALYZE {}").format(work.stage)))


def _create(target: Connection, work: TableWork) -> None:
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(one.type))
        for name, one in zip(work.key_names, work.keys, strict=True)
    ]
    columns += [
        sql.SQL("{} {}").format(sql.Identifier(one.stage), sql.SQL(one.staged.type)) for one in work.columns.values()
    ]
    target.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} ({}, rule smallint, h bigint) ON COMMIT DROP").format(
            work.stage, listed(columns)
        )
    )


def _unload(work: TableWork, seed: int) -> sql.Composed:
    values = [*(one.expression for one in work.keys), *(one.staged.expression for one in work.columns.values())]
    return sql.SQL("COPY (SELECT {}, {}, {} FROM {} x) TO STDOUT (FORMAT binary)").format(
        listed(values), _rule(work), work.source_hash(seed), work.source.identifier
    )


def _rule(work: TableWork) -> sql.Composable:
    """The number of the first rule that leaves a row out; 0 where none does."""
    whens = [
        sql.SQL(" WHEN ({}) THEN {}").format(sql.SQL(rule.when), sql.Literal(place))
        for place, rule in enumerate(work.mapping.skip, 1)
    ]
    return sql.SQL("(CASE{} ELSE 0 END)::smallint").format(sql.Composed(whens)) if whens else sql.SQL("0::smallint")
