"""Rows that a unique index or an exclusion of the target refuses, and rows that differ by case or composition only."""

import re
from collections.abc import Iterable, Iterator
from itertools import product

from psycopg import sql

from checks.tools.postgres import Connection
from checks.tools.transition import written
from checks.tools.transition.catalog import Exclusion, Unique
from checks.tools.transition.matching import folded, textual
from checks.tools.transition.preflight import Conflict, found
from checks.tools.transition.work import SCHEMA, Action, TableWork, column, equal, listed


def uniques(connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """Exactly what each index refuses first; only without that, what is nearly the same."""
    utf8 = connection.info.parameter_status("server_encoding") == "UTF8"
    folds = ["case", "nfc"] if utf8 else ["case"]
    told: set[frozenset[str]] = set()
    for unique in work.target.uniques:
        if not _asked(work, unique):
            continue
        near = work.mapping.near == "stop" and _near_matters(work, unique)
        found_here = list(_collisions(connection, work, unique, []))
        if not found_here and near:
            found_here = list(_collisions(connection, work, unique, folds))
        yield from found_here
        if found_here or near:
            told.add(frozenset(unique.columns))
    matched = _matched(work)
    if matched is not None and frozenset(matched.columns) not in told and set(folds) - set(work.mapping.ignoring):
        yield from _collisions(connection, work, matched, folds)


def _matched(work: TableWork) -> Unique | None:
    """What rows are recognised by, as an index would have it: who is nearly the same as one that is there was not
    recognised, and would be there twice."""
    names = tuple(work.mapping.matched_by)
    if work.mapping.near == "allow" or not any(textual(work, name) for name in names) or not written.known(work, names):
        return None
    keys = tuple(sql.Identifier(name).as_string() for name in names)
    return Unique("", "", keys, names, valid=True, primary=False, nulls_equal=False, plain=names)


def exclusions(connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """Rows that an exclusion constraint refuses beside another one. They are asked through an index as its own is:
    each row by itself, since what overlaps cannot be sorted."""
    for exclusion in work.target.exclusions:
        if not written.known(work, exclusion.columns):
            continue
        predicate = sql.SQL(exclusion.predicate) if exclusion.predicate else None
        table = sql.Identifier(SCHEMA, f"r{work.place}_{work.number}_excluded")
        connection.execute(
            sql.SQL("CREATE UNLOGGED TABLE {} AS SELECT * FROM {} q").format(
                table, written.rows(work, exclusion.columns, _terms(work, exclusion, []), predicate)
            )
        )
        by = listed(
            sql.SQL("{} {}").format(sql.Identifier(value), sql.SQL(kind))
            for value, kind in zip(_values(exclusion), exclusion.classes, strict=True)
        )
        connection.execute(sql.SQL("CREATE INDEX ON {} USING {} ({})").format(table, sql.SQL(exclusion.method), by))
        connection.execute(sql.SQL("ANALYZE {}").format(table))
        for rows, whose in _excluded(work, exclusion, table):
            yield from found(
                connection, work, rows, alias="q", kind="exclusion", about=exclusion.name,
                text=f"stand against another row of the {whose} by {exclusion.name}",
                remedy="Recognise such rows by match:, mend the source, or leave them out.",
            )  # fmt: skip
        connection.execute(sql.SQL("DROP TABLE {}").format(table))


def _excluded(work: TableWork, exclusion: Exclusion, table: sql.Identifier) -> Iterator[tuple[sql.Composable, str]]:
    against = sql.SQL(" AND ").join(
        sql.SQL("{} {} {}").format(column("o", value), sql.SQL(operator), column("q", value))
        for value, operator in zip(_values(exclusion), exclusion.operators, strict=True)
    )
    rows = sql.SQL("FROM {} q WHERE EXISTS (SELECT FROM {} o WHERE {} AND NOT ({}))")
    theirs = sql.SQL("(SELECT {} FROM {} t{})").format(
        _theirs(work, exclusion, []), work.target.identifier, _predicate(exclusion)
    )
    yield rows.format(table, table, against, work.same_key("o", "q")), "source"
    yield rows.format(table, theirs, against, _is_itself(work)), "target"


def _asked(work: TableWork, unique: Unique) -> bool:
    """Not where the key is new, a column is filled by the target, or recognising rows has settled it already."""
    if unique.primary and work.mapping.keys == "new":
        return False
    return written.known(work, unique.columns) and not _settled(work, unique)


def _settled(work: TableWork, unique: Unique) -> bool:
    """Rows that collide in the index are one row by ``match``: it is on the matched columns, or lower of them."""
    matched = set(work.mapping.matched_by)
    if not matched or not matched <= set(unique.columns) or unique.nulls_equal:
        return False
    for key, plain in zip(unique.keys, unique.plain, strict=True):
        lowered = re.fullmatch(r'lower\("?([^"()]+?)"?(::text)?\)', key)
        if plain is None and not (lowered and lowered[1] in matched and "case" in work.mapping.ignoring):
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
    predicate = sql.SQL(unique.predicate) if unique.predicate else None
    arriving = written.rows(work, unique.columns, _terms(work, unique, ignoring), predicate)
    equals = [(_among(unique, arriving), "source")]
    equals += [(rows, "target") for rows in _against(work, unique, ignoring, arriving)]
    for rows, whose in equals:
        yield from found(
            connection, work, rows, alias="q", kind=kind, about=names,
            text=f"are equal to another row of the {whose} in {names}{how}", remedy=remedies[kind],
        )  # fmt: skip


def _values(unique: Unique | Exclusion) -> list[str]:
    return [f"u{place}" for place in range(1, len(unique.keys) + 1)]


def _among(unique: Unique, arriving: sql.Composable) -> sql.Composable:
    """Rows that are equal to another one that arrives; one with a null is equal to none, unless the index says so."""
    window = listed(column("q", one) for one in _values(unique))
    given = sql.SQL(" AND ").join(sql.SQL("q.{} IS NOT NULL").format(sql.Identifier(one)) for one in _values(unique))
    return sql.SQL(
        "FROM (SELECT q.*, count(*) OVER (PARTITION BY {}) AS many FROM {} q WHERE {}) q WHERE many > 1"
    ).format(window, arriving, sql.SQL("true") if unique.nulls_equal else given)


def _against(
    work: TableWork, unique: Unique, ignoring: list[str], arriving: sql.Composable
) -> Iterator[sql.Composable]:
    """Rows that are equal to one of the target; where nulls are equal too, asked for each choice of nulls by itself,
    since only plain equality joins quickly."""
    theirs = sql.SQL("SELECT {} FROM {} t{}").format(
        _theirs(work, unique, ignoring), work.target.identifier, _predicate(unique)
    )
    choices = (False, True) if unique.nulls_equal else (False,)
    for nulls in product(choices, repeat=len(unique.keys)):
        same = sql.SQL(" AND ").join(
            sql.SQL("q.{0} IS NULL AND o.{0} IS NULL" if null else "q.{0} = o.{0}").format(sql.Identifier(name))
            for name, null in zip(_values(unique), nulls, strict=True)
        )
        yield sql.SQL("FROM {} q JOIN ({}) o ON {} AND NOT ({})").format(arriving, theirs, same, _is_itself(work))


def _is_itself(work: TableWork) -> sql.Composable:
    """The target row ``o`` is the one that the arriving row is merged with."""
    pairs = [(column("q", name), column("o", f"x{n}")) for n, name in enumerate(work.target_key_names, 1)]
    return sql.SQL("q.action = {} AND {}").format(sql.Literal(int(Action.MERGE)), equal(pairs))


def _predicate(unique: Unique | Exclusion) -> sql.Composable:
    return sql.SQL(" WHERE {}").format(sql.SQL(unique.predicate)) if unique.predicate else sql.SQL("")


def _terms(work: TableWork, unique: Unique | Exclusion, ignoring: list[str]) -> Iterable[sql.Composable]:
    """``ignoring``: only of an index whose keys are columns."""
    for place, (value, key) in enumerate(zip(_values(unique), unique.keys, strict=True)):
        term: sql.Composable = sql.SQL("({})").format(sql.SQL(key))
        if isinstance(unique, Unique) and ignoring and textual(work, str(unique.plain[place])):
            term = folded(term, ignoring)
        yield sql.SQL("{} AS {}").format(term, sql.Identifier(value))


def _theirs(work: TableWork, unique: Unique | Exclusion, ignoring: list[str]) -> sql.Composable:
    keys = [
        sql.SQL("{} AS {}").format(column("t", name), sql.Identifier(f"x{n}"))
        for n, name in enumerate(work.mapping.keys_in_target, 1)
    ]
    return listed([*keys, *_terms(work, unique, ignoring)])
