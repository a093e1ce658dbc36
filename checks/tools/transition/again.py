"""Rows that an earlier transition of the same check moved already: another release's deploy would bring them twice."""

from collections.abc import Collection, Iterator

from psycopg import sql

from checks.tools.postgres import Connection
from checks.tools.transition import keeping, settling, undoing
from checks.tools.transition.expression import tells_the_time
from checks.tools.transition.preflight import Conflict, found
from checks.tools.transition.work import Action, TableWork, column, equal, fingerprint


def moved(connection: Connection, work: TableWork, section: str, free: Collection[str]) -> Iterator[Conflict]:
    """Asked where nothing recognises a row (no ``match``): it has the same key, and is the same still in the target.

    But for what differs in every row anyhow: ``free`` are columns that triggers may change, others tell the time.
    """
    if work.mapping.matched_by:
        return
    for standing in keeping.of_section(connection, section):
        table = keeping.moved_table if standing.settled else keeping.keys_table
        for entry in standing.document["tables"]:
            keys = table(standing.place, entry["number"])
            same = (entry["table"], len(entry["keys"])) == (work.label, len(work.keys))
            if not same or not undoing.is_there(connection, keys):
                continue
            hidden = settling.hidden(entry) if standing.settled else settling.NOTHING_HIDDEN
            yield from found(
                connection, work, _rows(work, keys, free, hidden), alias="m", kind="again", about="",
                text=f"were moved by run {standing.told} already, and are in the target",
                remedy="Say by what they are recognised (match:), leave them out, or take the step out of the plan.",
            )  # fmt: skip


def _rows(work: TableWork, keys: sql.Identifier, free: Collection[str], hidden: settling.Hidden) -> sql.Composable:
    """``hidden``: the parts of both keys that ``keys`` has as fingerprints."""
    same_key = equal(
        [(sql.SQL("{}::text").format(column("k", name)), fingerprint(value) if part in hidden.source
          else sql.SQL("{}::text").format(value))
         for part, name in enumerate(work.key_names, 1) for value in [column("m", name)]]
    )  # fmt: skip
    in_target = column("t", work.mapping.keys_in_target[0])
    at_target = equal([(fingerprint(in_target) if 1 in hidden.target else in_target, column("k", "t1"))])
    # As the target writes it: what it holds by now the source's type may not hold.
    same = [
        sql.SQL("({})::text IS NOT DISTINCT FROM ({})::text").format(column("t", one.column.name), one.cast())
        for one in work.hashed()
        if not one.wrong and one.column.name not in free and not tells_the_time(one.source.sql)
    ]
    insert = sql.Literal(int(Action.INSERT))
    return sql.SQL(
        "FROM {} s JOIN {} m ON {} AND m.action = {} JOIN {} k ON {} AND k.action = {} JOIN {} t ON {} WHERE {}"
    ).format(
        work.stage, work.map, work.same_key(), insert, keys, same_key, insert, work.target.identifier, at_target,
        sql.SQL(" AND ").join([*same, sql.SQL("true")]),
    )  # fmt: skip
