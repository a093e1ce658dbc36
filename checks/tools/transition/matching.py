"""What becomes of each staged row: the map of source key to target key, with the action and, for inserts, a new key."""

from collections.abc import Sequence
from typing import Final

from psycopg import sql

from checks.tools.postgres import Connection, one
from checks.tools.transition.work import Action, Reference, TableWork, column, equal, listed

#: The least and the greatest number that a type holds.
_NUMBERS: Final = {
    "smallint": (-(2**15), 2**15 - 1), "integer": (-(2**31), 2**31 - 1), "bigint": (-(2**63), 2**63 - 1),
}  # fmt: skip


def normalised(value: sql.Composable, work: TableWork, name: str) -> sql.Composable:
    """A value as it is compared for recognising: without regard to case or composition, where the plan says so."""
    if not textual(work, name):
        return value
    citext = work.target.columns[name].stored_base == "citext"
    return folded(value, [*work.mapping.ignoring, *(["case"] if citext else [])])


def folded(value: sql.Composable, ignoring: Sequence[str]) -> sql.Composable:
    """Equal for what is the same; by bytes, since sorting by a language's rules takes several times as long."""
    if "nfc" in ignoring:
        # What has as many characters as bytes is composed already, and asking that costs a fraction of composing.
        value = sql.SQL(
            "CASE WHEN octet_length(({0})::text) = char_length(({0})::text) THEN ({0})::text"
            " ELSE normalize(({0})::text, NFC) END"
        ).format(value)
    if "case" in ignoring:
        value = sql.SQL("lower(({})::text)").format(value)
    return sql.SQL('(({})::text COLLATE "C")').format(value)


def textual(work: TableWork, name: str) -> bool:
    return work.target.columns[name].stored_base in ("text", "varchar", "bpchar", "citext", "name")


def build_map(target: Connection, work: TableWork, ready: set[int]) -> None:
    """Fill the table's map. References to tables in ``ready`` (numbers) are followed; the others later."""
    known = [reference for reference in work.references if reference.parent.number in ready]
    matched = work.mapping.matched_by
    keys = listed(column("d", name) for name in work.key_names)
    query = sql.SQL(
        "CREATE UNLOGGED TABLE {map} AS WITH r AS ({rows}), d AS ({placed}), a AS ({decided})"
        " SELECT {keys}, {new_keys}, d.action::smallint, d.rule, {firsts} FROM a d"
    ).format(
        map=work.map,
        rows=_rows(work, known),
        placed=_placed(work, matched),
        decided=_decided(work, matched),
        keys=keys,
        new_keys=_target_keys(target, work),
        firsts=listed(column("d", f"f{place}") for place in range(1, len(work.keys) + 1)),
    )
    target.execute(query)
    follow_twins(target, work)
    target.execute(sql.SQL("ANALYZE {}").format(work.map))


def _rows(work: TableWork, known: Sequence[Reference]) -> sql.Composable:
    """r: source key, rule, whether something it refers to is missing, its own key (keep), and the match values."""
    orphan = sql.SQL(" OR ").join(
        sql.SQL("({} AND {} IS NULL)").format(reference.present, column(reference.alias, "t1")) for reference in known
    )
    ours = [
        sql.SQL("{} AS {}").format(work.value(name), sql.Identifier(f"o{place}"))
        for place, name in enumerate(work.mapping.keys_in_target, 1)
        if work.mapping.keys == "keep"
    ]
    values = [
        sql.SQL("{} AS {}").format(normalised(work.value(name), work, name), sql.Identifier(f"v{place}"))
        for place, name in enumerate(work.mapping.matched_by, 1)
    ]
    keys = [column("s", name) for name in work.key_names]
    return sql.SQL("SELECT {}, s.rule, {} AS orphan FROM {}").format(
        listed([*keys, *ours, *values]), orphan if known else sql.SQL("false"), work.joins_of(known)
    )


def _placed(work: TableWork, matched: Sequence[str]) -> sql.Composable:
    """d: r, with the place of each row among those that are the same by the match values, and the first one's key."""
    keys = [column("r", name) for name in work.key_names]
    if not matched:
        firsts = [sql.SQL("{} AS {}").format(key, sql.Identifier(f"f{n}")) for n, key in enumerate(keys, 1)]
        return sql.SQL("SELECT r.*, 1 AS place, {} FROM r").format(listed(firsts))
    values = [column("r", f"v{place}") for place in range(1, len(matched) + 1)]
    nothing = sql.SQL(" OR ").join(sql.SQL("{} IS NULL").format(value) for value in values)
    # A row that is left out, or names nothing to be recognised by, is nobody's twin.
    apart = sql.SQL("r.rule > 0 OR r.orphan OR {}").format(nothing)
    window = sql.SQL("(PARTITION BY {}, ({}) ORDER BY {})").format(listed(values), apart, listed(keys))
    firsts = [
        sql.SQL("first_value({}) OVER {} AS {}").format(key, window, sql.Identifier(f"f{n}"))
        for n, key in enumerate(keys, 1)
    ]
    return sql.SQL("SELECT r.*, CASE WHEN {} THEN 1 ELSE row_number() OVER {} END AS place, {} FROM r").format(
        apart, window, listed(firsts)
    )


def _decided(work: TableWork, matched: Sequence[str]) -> sql.Composable:
    """a: d, with the row of the target that it is, if any, and the action."""
    mapping = work.mapping
    stops = {"duplicates": mapping.duplicates == "stop", "orphans": mapping.orphans == "stop"}
    there = {"merge": Action.MERGE, "skip": Action.THERE, "stop": Action.STOP_THERE}[mapping.existing]
    new = {"insert": Action.INSERT, "skip": Action.NOT_WANTED, "stop": Action.STOP_NEW}[mapping.new]
    return sql.SQL(
        "SELECT d.*, {theirs}, CASE WHEN d.rule > 0 THEN {rule} WHEN d.orphan THEN {orphan}"
        " WHEN d.place > 1 THEN {twin} WHEN {many} > 1 THEN {ambiguous} WHEN {found} THEN {there} ELSE {new} END"
        " AS action FROM d{join}"
    ).format(
        theirs=listed(
            sql.SQL("{} AS {}").format(
                column("e", f"t{n}")
                if matched
                else sql.SQL("NULL::{}").format(sql.SQL(work.target.columns[name].stored)),
                sql.Identifier(f"e{n}"),
            )
            for n, name in enumerate(work.mapping.keys_in_target, 1)
        ),
        rule=_literal(Action.RULE),
        orphan=_literal(Action.STOP_ORPHAN if stops["orphans"] else Action.ORPHAN),
        twin=_literal(Action.STOP_TWIN if stops["duplicates"] else Action.TWIN),
        many=sql.SQL("COALESCE(e.many, 0)") if matched else sql.SQL("0"),
        ambiguous=_literal(Action.STOP_AMBIGUOUS),
        found=sql.SQL("e.many IS NOT NULL") if matched else sql.SQL("false"),
        there=_literal(there),
        new=_literal(new),
        join=_existing(work, matched) if matched else sql.SQL(""),
    )


def _literal(action: Action) -> sql.Composable:
    return sql.Literal(int(action))


def _existing(work: TableWork, matched: Sequence[str]) -> sql.Composable:
    """LEFT JOIN of the target's rows, one for each set of match values, with how many there are of it."""
    values = [normalised(column("t", name), work, name) for name in matched]
    keys = [column("t", name) for name in work.mapping.keys_in_target]
    named = [sql.SQL("{} AS {}").format(value, sql.Identifier(f"v{n}")) for n, value in enumerate(values, 1)]
    named += [sql.SQL("{} AS {}").format(key, sql.Identifier(f"t{n}")) for n, key in enumerate(keys, 1)]
    exact = not work.mapping.ignoring and any(
        set(unique.plain) == set(matched) and unique.valid and not unique.predicate for unique in work.target.uniques
    )
    if exact:
        rows = sql.SQL("SELECT {}, 1 AS many FROM {} t").format(listed(named), work.target.identifier)
    else:
        rows = sql.SQL("SELECT DISTINCT ON ({0}) {1}, count(*) OVER (PARTITION BY {0}) AS many FROM {2} t").format(
            listed(values), listed(named), work.target.identifier
        )
    pairs = [(column("d", f"v{n}"), column("e", f"v{n}")) for n in range(1, len(matched) + 1)]
    return sql.SQL(" LEFT JOIN ({}) e ON {} AND d.rule = 0 AND NOT d.orphan").format(rows, equal(pairs))


def _target_keys(target: Connection, work: TableWork) -> sql.Composable:
    """t1...: the row that is there, the key that is kept, or the next numbers; null for what does not arrive."""
    places = range(1, len(work.keys) + 1)
    types = [work.target.columns[name].stored for name in work.mapping.keys_in_target]
    kept = [column("d", f"o{n}") for n in places]
    fresh = kept if work.mapping.keys == "keep" else [_next_number(target, work)]
    there = sql.SQL("d.action IN ({}, {})").format(_literal(Action.MERGE), _literal(Action.THERE))
    return listed(
        sql.SQL("(CASE WHEN {} THEN {} WHEN d.action = {} THEN {} END)::{} AS {}").format(
            there, column("d", f"e{n}"), _literal(Action.INSERT), new, sql.SQL(kind), sql.Identifier(f"t{n}")
        )
        for n, new, kind in zip(places, fresh, types, strict=True)
    )


def _next_number(target: Connection, work: TableWork) -> sql.Composable:
    """Numbers past everything that the sequence gave out and the column holds, in the order of the source's keys.

    Null where the sequence, or the column's type, does not go so far: that is a conflict.
    """
    key = work.mapping.keys_in_target[0]
    own = work.numbered_by
    extreme = sql.SQL("max" if own.increment > 0 else "min")
    position = one(
        target,
        sql.SQL("SELECT CASE WHEN is_called THEN last_value ELSE last_value - {} END FROM {}").format(  # type: ignore[arg-type]
            sql.Literal(own.increment), own.identifier
        ),
    )
    held = one(
        target,
        sql.SQL("SELECT {}({})::bigint FROM {}").format(extreme, sql.Identifier(key), work.target.identifier),  # type: ignore[arg-type]
    )
    last = position if held is None else (max if own.increment > 0 else min)(position, held)
    inserts = sql.SQL("CASE WHEN d.action = {} THEN 1 ELSE 0 END").format(_literal(Action.INSERT))
    number = sql.SQL("({}::numeric + {}::numeric * sum({}) OVER (ORDER BY {} ROWS UNBOUNDED PRECEDING))").format(
        sql.Literal(last), sql.Literal(own.increment), inserts, listed(column("d", name) for name in work.key_names)
    )
    least, greatest = _NUMBERS[work.target.columns[key].stored]
    return sql.SQL("CASE WHEN {0} BETWEEN {1} AND {2} THEN {0} END").format(
        number, sql.Literal(max(least, own.least)), sql.Literal(min(greatest, own.greatest))
    )


def follow_twins(target: Connection, work: TableWork) -> None:
    """A row that is the same as an earlier one leads to that one's place, so that what refers to it arrives too."""
    if work.mapping.duplicates != "first" or not work.mapping.matched_by:
        return
    firsts = equal([(column("m", f"f{n}"), column("first", f"k{n}")) for n in range(1, len(work.keys) + 1)])
    target.execute(
        sql.SQL("UPDATE {0} m SET {1} FROM {0} first WHERE m.action = {2} AND {3}").format(
            work.map,
            listed(
                sql.SQL("{} = {}").format(sql.Identifier(name), column("first", name)) for name in work.target_key_names
            ),
            _literal(Action.TWIN),
            firsts,
        )
    )


def follow_late_references(target: Connection, works: Sequence[TableWork], late: dict[int, list[Reference]]) -> None:
    """In circles a table's map is built before that of a table it refers to: now see what turns out to be missing.

    Whoever refers to a row that does not arrive does not arrive either, so this goes on until nothing changes. A twin
    that takes the place of one that fell away is asked as that one was.
    """
    if not any(late.values()):
        return
    changed = True
    while changed:
        changed = False
        for work in works:
            for reference in work.references:
                changed = _drop_orphans(target, work, reference) or changed


def _drop_orphans(target: Connection, work: TableWork, reference: Reference) -> bool:
    """Rows whose reference leads nowhere do not arrive; the next of the rows that are the same takes the place.

    At once, before anything else is asked: so a place is either one that arrives or none.
    """
    action = Action.STOP_ORPHAN if work.mapping.orphans == "stop" else Action.ORPHAN
    arriving = sql.SQL("{}, {}").format(_literal(Action.INSERT), _literal(Action.MERGE))
    gone = sql.SQL("SELECT m.* FROM {} JOIN {} m ON {} WHERE m.action IN ({}) AND {} AND {} IS NULL").format(
        work.joins_of([reference]), work.map, work.same_key(), arriving, reference.present,
        column(reference.alias, "t1"),
    )  # fmt: skip
    emptied = listed(sql.SQL("{} = NULL").format(sql.Identifier(name)) for name in work.target_key_names)
    row = target.execute(
        sql.SQL(
            "WITH g AS MATERIALIZED ({}), dropped AS (UPDATE {} m SET action = {}, {} FROM g WHERE {}){}"
            " SELECT count(*) FROM g"
        ).format(gone, work.map, _literal(action), emptied, work.same_key("m", "g"), _heirs(work))
    ).fetchone()
    assert row is not None
    return bool(row[0])


def _heirs(work: TableWork) -> sql.Composable:
    """WITH: of the twins of each row in ``g``, the first one gets its action and its place, and the others follow it.

    A key that is kept is the twin's own; a new number, or the row that is there already, is handed on.
    """
    if work.mapping.duplicates != "first" or not work.mapping.matched_by:
        return sql.SQL("")
    places = range(1, len(work.keys) + 1)
    firsts = [sql.Identifier(f"f{n}") for n in places]
    twin_of = equal([(column("m", f"f{n}"), column("g", f"k{n}")) for n in places])
    own = [
        sql.SQL("CASE WHEN g.action = {} THEN {} ELSE {} END AS {}").format(
            _literal(Action.INSERT), work.value(name), column("g", f"t{n}"), sql.Identifier(f"t{n}")
        )
        if work.mapping.keys == "keep"
        else column("g", f"t{n}")
        for n, name in enumerate(work.mapping.keys_in_target, 1)
    ]
    heirs = sql.SQL(
        "SELECT DISTINCT ON ({f}) {k}, {f}, g.action, {t} FROM {joins} JOIN {map} m ON {same} AND m.action = {twin}"
        " JOIN g ON {twin_of} ORDER BY {f}, {k}"
    ).format(
        f=listed(sql.SQL("m.{}").format(first) for first in firsts),
        k=listed(column("m", name) for name in work.key_names), t=listed(own), joins=work.joins, map=work.map,
        same=work.same_key(), twin=_literal(Action.TWIN), twin_of=twin_of,
    )  # fmt: skip
    moved = [sql.SQL("{} = {}").format(sql.Identifier(f"f{n}"), column("h", f"k{n}")) for n in places]
    moved += [sql.SQL("{0} = h.{0}").format(sql.Identifier(name)) for name in work.target_key_names]
    followed = equal([(column("m", f"f{n}"), column("h", f"f{n}")) for n in places])
    return sql.SQL(
        ", h AS MATERIALIZED ({}), followed AS (UPDATE {} m SET action = CASE WHEN {} THEN h.action ELSE m.action END,"
        " {} FROM h WHERE m.action = {} AND {})"
    ).format(heirs, work.map, work.same_key("m", "h"), listed(moved), _literal(Action.TWIN), followed)


def tally(target: Connection, work: TableWork) -> dict[tuple[Action, int], int]:
    """(action, number of the rule that left it out, else 0) -> rows."""
    rows = target.execute(sql.SQL("SELECT action, rule, count(*) FROM {} GROUP BY 1, 2").format(work.map)).fetchall()
    found: dict[tuple[Action, int], int] = {}
    for action, rule, rows_of in rows:
        key = (Action(action), rule if action == Action.RULE else 0)
        found[key] = found.get(key, 0) + rows_of
    return found
