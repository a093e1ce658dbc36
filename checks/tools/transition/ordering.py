"""In which order rows are written.

They come as the source keeps them. Where the addresses or tokens of their unique keys are then in no order at all, each
row lands in another page of each index; sorted by them first, half a million users were written in half the time.
"""

from collections import Counter
from typing import Final, LiteralString

from psycopg import sql

from checks.tools.postgres import Connection
from checks.tools.transition.matching import textual
from checks.tools.transition.work import SCHEMA, TableWork, column

#: Of the statistics' correlation, which is 1 for rows in the order of their values, and -1 for the reverse.
_NO_ORDER: Final = 0.1
_CORRELATIONS: LiteralString = """
    SELECT attname, correlation FROM pg_catalog.pg_stats
    WHERE schemaname = %s AND tablename = %s AND correlation IS NOT NULL
"""


def order(target: Connection, work: TableWork) -> sql.Composable:
    """ORDER BY the column that most indexes begin with, where its values come in no order; else nothing.

    New numbers go up in the order of the source, so sorting puts the index of the key out of order: for one other
    index that gains nothing.
    """
    correlations: dict[str, float] = dict(target.execute(_CORRELATIONS, [SCHEMA, work.stage_name]).fetchall())
    led = Counter(
        name
        for name in work.target.leading
        if name in work.columns
        and work.columns[name].reference is None
        and abs(correlations.get(work.columns[name].stage, 1.0)) < _NO_ORDER
    )
    if not led:
        return sql.SQL("")
    name, indexes = led.most_common(1)[0]
    if indexes == 1 and work.mapping.keys == "new":
        return sql.SQL("")
    by_bytes = sql.SQL(' COLLATE "C"' if textual(work, name) else "")
    return sql.SQL(" ORDER BY {}{}").format(column("s", work.columns[name].stage), by_bytes)
