"""A declared mapping against the two real databases: every name found, every type known, tables in their order."""

from collections.abc import Callable, Iterable, Sequence

import psycopg
from psycopg import sql

from checks.errors import CheckError
from checks.tools import server_words
from checks.tools.postgres import Connection
from checks.tools.transition import catalog, naming
from checks.tools.transition.declaration import ColumnSource, TableMapping
from checks.tools.transition.expression import refuse_unsteady
from checks.tools.transition.work import Mapped, Reference, Staged, TableWork, column, listed

_NOTHING = "Correct the mapping in the plan. Nothing was written."


def resolve(source: Connection, target: Connection, tables: Sequence[TableMapping]) -> list[TableWork]:
    """One TableWork for each mapping, in the order of the plan, with its references. CheckError names what is amiss."""
    works = [_resolve_table(source, target, number, mapping) for number, mapping in enumerate(tables, 1)]
    by_label = {work.label: work for work in works}
    for work in works:
        work.references, work.beside = _references(work, by_label)
        _ask_casts(target, work)
    for work in works:
        naming.refuse_left_behind(work, works)
    _refuse_shared_numbers(works)
    order_of_writing(works)  # A circle without a way in is told before a row is read.
    return works


def refuse_changed(target: Connection, works: Sequence[TableWork]) -> None:
    """CheckError where somebody altered a table between the look at it and its lock."""
    for work in works:
        if catalog.shape(target, work.label) != work.target:
            raise CheckError(
                f"The target's {work.label} was altered while its lock was waited for. Nothing was written.",
                remedy="Start again when nobody changes the schema any more.",
            )


def _refuse_shared_numbers(works: Sequence[TableWork]) -> None:
    """Each table's new numbers are counted by themselves, so two tables of one sequence would get the same ones."""
    taken: dict[str, str] = {}
    for work in works:
        key = work.mapping.keys_in_target[0]
        for own in work.target.sequences if work.mapping.keys == "new" else ():
            if own.column == key and taken.setdefault(own.label, work.label) != work.label:
                raise CheckError(
                    f"{taken[own.label]} and {work.label} take their numbers from one sequence, {own.label}, so new"
                    " keys would be given twice.",
                    remedy="Say keys: keep for one of them, or move them by two checks. Nothing was written.",
                )


def _ask_casts(target: Connection, work: TableWork) -> None:
    """CheckError where the server makes no value of the target's type of what travels, without asking for a row."""
    for name, one in work.columns.items():
        if one.reference is not None or one.same_type:
            continue
        stage = sql.SQL("(SELECT NULL::{} AS {}, 0 AS rule) s").format(
            sql.SQL(one.staged.type), sql.Identifier(one.stage)
        )
        try:
            _try(target, one.cast(), stage)
        except psycopg.Error as error:
            raise CheckError(
                f"{work.label}.{name} is {one.column.type}, and the mapping gives {one.staged.type}:"
                f" {server_words.of(error)}.",
                remedy="Say by an expression (sql:) in the plan how the one becomes the other. Nothing was written.",
            ) from error
        try:
            _try(target, one.comparable(one.cast()), stage)
        except psycopg.Error:
            one.one_way = True
            del one.canonical


def _try(target: Connection, value: sql.Composable, rows: sql.Composable) -> None:
    with target.transaction():
        target.execute(sql.SQL("SELECT {} FROM {} LIMIT 0").format(value, rows))


def _shape(connection: Connection, label: str, where: str) -> catalog.Shape:
    found = catalog.shape(connection, label)
    if found is None:
        raise CheckError(f"The {where} has no table {label}.", remedy=_NOTHING)
    return found


def _resolve_table(source: Connection, target: Connection, number: int, mapping: TableMapping) -> TableWork:
    there = _shape(source, mapping.source_label, "source")
    here = _shape(target, mapping.label, "target")
    _refuse_unknown(mapping, there, here)
    for text in [*(one.sql for one in mapping.mapped.values() if one.sql), *(rule.when for rule in mapping.skip)]:
        refuse_unsteady(source, text)
    wanted = [_expression(one) for one in mapping.mapped.values()]
    keys = [column("x", name) for name in mapping.key]
    rules = [sql.SQL("({})::boolean").format(sql.SQL(rule.when)) for rule in mapping.skip]
    staged = _describe(source, there, [*keys, *wanted, *rules], mapping)
    columns = {
        name: Mapped(here.columns[name], one, staged[len(keys) + place], f"c{place + 1}", ruled=bool(mapping.skip))
        for place, (name, one) in enumerate(mapping.mapped.items())
    }
    return TableWork(number, mapping, there, here, staged[: len(keys)], columns)


def _refuse_unknown(mapping: TableMapping, there: catalog.Shape, here: catalog.Shape) -> None:
    for name in [*mapping.mapped, *mapping.keys_in_target]:
        if name not in here.columns:
            raise CheckError(f"The target's {here.label} has no column {name}.", remedy=_NOTHING)
        if here.columns[name].generated:
            raise CheckError(f"The target computes {here.label}.{name} itself; it takes no value.", remedy=_NOTHING)
    for name in [*mapping.key, *(one.column for one in mapping.mapped.values() if one.column)]:
        if name not in there.columns:
            raise CheckError(f"The source's {there.label} has no column {name}.", remedy=_NOTHING)
    if mapping.keys == "new" and not [own for own in here.sequences if own.column == mapping.keys_in_target[0]]:
        raise CheckError(
            f"The key {here.label}.{mapping.keys_in_target[0]} has no sequence of its own, so there are no new keys.",
            remedy="Say keys: keep for this table. Nothing was written.",
        )


def _expression(one: ColumnSource) -> sql.Composable:
    if one.column:
        return column("x", one.column)
    if one.sql:
        return sql.SQL("({})").format(sql.SQL(one.sql))
    if isinstance(one.value, bool):
        return sql.SQL("true" if one.value else "false")
    if isinstance(one.value, str):
        return sql.SQL("{}::text").format(sql.Literal(one.value))
    return sql.SQL("({})").format(sql.Literal(one.value))


def _describe(
    source: Connection, there: catalog.Shape, expressions: Sequence[sql.Composable], mapping: TableMapping
) -> list[Staged]:
    """Ask the source for the type of each expression, without reading a row."""
    query = sql.SQL("SELECT {} FROM {} x LIMIT 0").format(listed(expressions), there.identifier)
    try:
        with source.transaction():
            cursor = source.execute(query)
    except psycopg.Error as error:
        raise CheckError(
            f"The mapping of {mapping.label} does not fit the source: {server_words.of(error)}", remedy=_NOTHING
        ) from error
    described = cursor.description or []
    result = cursor.pgresult
    if result is None or len(described) != len(expressions):
        raise CheckError(f"An expression for {mapping.label} gives more or less than one value.", remedy=_NOTHING)
    return [
        _staged(source, expression, one.type_code, result.fmod(place))
        for place, (expression, one) in enumerate(zip(expressions, described, strict=True))
    ]


def _staged(source: Connection, expression: sql.Composable, oid: int, modifier: int) -> Staged:
    row = source.execute(
        "SELECT format_type(t.oid, %s), t.typname, NOT (t.oid >= 16384 OR t.typname ~ '^_?reg' OR t.typsend = 0"
        " OR t.typtype IN ('c', 'd', 'e', 'p') OR COALESCE(e.typsend = 0 OR e.oid >= 16384, false))"
        " FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typelem <> 0"
        " WHERE t.oid = %s",
        [modifier, oid],
    ).fetchone()
    assert row is not None
    if row[2]:
        return Staged(expression, row[0], row[1], plain=True)
    return Staged(sql.SQL("({})::text").format(expression), "text", "text", plain=False)


def _references(work: TableWork, by_label: dict[str, TableWork]) -> tuple[list[Reference], list[Reference]]:
    """Columns that name rows of other tables of the mapping: by the target's foreign keys, or as the plan says.

    The second list: foreign keys that give no column its value. Where two share a column, the shorter one gives it,
    since of a longer one a part may be null.
    """
    found: list[Reference] = []
    beside: list[Reference] = []
    taken: set[str] = set()
    for key in sorted(work.target.foreign_keys, key=lambda key: (len(key.columns), key.name)):
        parent = by_label.get(key.table)
        mapped = [work.columns[name] for name in key.columns if name in work.columns]
        if key.of_periods and mapped:
            raise CheckError(
                f"{work.label} has the foreign key {key.name} with a PERIOD, which names no single row.",
                remedy="Such a reference is not followed: leave its columns out of the mapping. Nothing was written.",
            )
        if parent is None:
            _refuse_unmoved(work, key, mapped)
        elif len(mapped) == len(key.columns):
            if taken & set(key.columns) or not _follows(key, mapped, parent):
                beside.append(Reference(mapped, parent, "", key.name, key.deferrable))
                continue
            by_parent = dict(zip(key.foreign, mapped, strict=True))
            ordered = [by_parent[name] for name in parent.mapping.keys_in_target]
            found.append(Reference(ordered, parent, f"p{len(found) + 1}", key.name, key.deferrable))
            taken |= set(key.columns)
    for name, one in work.columns.items():
        if one.source.references not in ("", "-") and name not in taken:
            parent = by_label[_full(one.source.references)]
            found.append(Reference([one], parent, f"p{len(found) + 1}", "", deferrable=True))
    for reference in found:
        for one in reference.columns:
            one.reference = reference
    return found, beside


def _follows(key: catalog.ForeignKey, mapped: Sequence[Mapped], parent: TableWork) -> bool:
    """Whether it names rows by the key that the map knows, and the plan says nothing else of its columns."""
    otherwise = any(one.source.references and _full(one.source.references) != parent.label for one in mapped)
    plain = all(one.source.column for one in mapped)
    return plain and not otherwise and set(key.foreign) == set(parent.mapping.keys_in_target)


def _refuse_unmoved(work: TableWork, key: catalog.ForeignKey, mapped: Sequence[Mapped]) -> None:
    if any(one.source.column and not one.source.references for one in mapped):
        raise CheckError(
            f"{work.label}.{mapped[0].column.name} names rows of {key.table}, which is not in the mapping: the same"
            " number may be another row in the target.",
            remedy='Add that table (match: ..., new: stop, existing: skip), or say references: "-" to take the'
            " number as it is. Nothing was written.",
        )


def _full(name: str) -> str:
    return name if "." in name else f"public.{name}"


def order_of_matching(works: Sequence[TableWork]) -> list[TableWork]:
    """Parents before children where a child is recognised, or keyed, by what it refers to; cycles there are refused."""

    def needs(work: TableWork) -> set[int]:
        names = set(work.mapping.matched_by)
        if work.mapping.keys == "keep":
            names |= set(work.mapping.keys_in_target)
        return {
            reference.parent.number
            for reference in work.references
            if reference.parent is not work and (names & {one.column.name for one in reference.columns})
        }

    def orphaned(work: TableWork) -> set[int]:
        return {reference.parent.number for reference in work.references if reference.parent is not work}

    return _sorted(works, needs, orphaned, "is recognised by a row of")


def order_of_writing(works: Sequence[TableWork]) -> list[TableWork]:
    """Parents before children. In a cycle a deferrable key waits for the end; else a nullable one is filled in later.

    Sets ``postponed`` where columns are written in a second step.
    """

    def needs(work: TableWork) -> set[int]:
        return {
            reference.parent.number
            for reference in work.bound
            if reference.parent is not work and not reference.deferrable and not _postponed(work, reference)
        }

    def wishes(work: TableWork) -> set[int]:
        return {reference.parent.number for reference in work.bound if reference.parent is not work}

    for cycle in _hard_cycles(works):
        _break(cycle)
    return _sorted(works, needs, wishes, "cannot be written before")


def _postponed(work: TableWork, reference: Reference) -> bool:
    return {one.column.name for one in reference.columns} <= work.postponed


def _hard_cycles(works: Sequence[TableWork]) -> Iterable[list[tuple[TableWork, Reference]]]:
    """Cycles of keys that are not deferrable, one after the other; the caller breaks each before it asks on."""
    while True:
        cycle = next((found for work in works if (found := _cycle_from(work, work, [], set()))), None)
        if cycle is None:
            return
        yield cycle


def _cycle_from(
    start: TableWork, here: TableWork, path: list[tuple[TableWork, Reference]], seen: set[int]
) -> list[tuple[TableWork, Reference]] | None:
    for reference in here.bound:
        if reference.deferrable or reference.parent is here or _postponed(here, reference):
            continue
        step = [*path, (here, reference)]
        if reference.parent is start:
            return step
        if reference.parent.number not in seen:
            seen.add(reference.parent.number)
            found = _cycle_from(start, reference.parent, step, seen)
            if found:
                return found
    return None


def _break(cycle: list[tuple[TableWork, Reference]]) -> None:
    for work, reference in cycle:
        if all(not one.column.not_null for one in reference.columns) and work.mapping.keys == "new":
            work.postponed |= {one.column.name for one in reference.columns}
            return
    names = " -> ".join(work.label for work, _ in cycle)
    raise CheckError(
        f"The tables {names} refer to each other in a circle, no foreign key of it can be deferred, and none is null.",
        remedy="Make one of the foreign keys DEFERRABLE in the target. Nothing was written.",
    )


def _sorted(
    works: Sequence[TableWork],
    needs: Callable[[TableWork], set[int]],
    wishes: Callable[[TableWork], set[int]],
    sentence: str,
) -> list[TableWork]:
    """Topological; ``wishes`` are kept where they do not stand against ``needs``."""
    left: list[TableWork] = list(works)
    done: set[int] = set()
    ordered: list[TableWork] = []
    while left:
        free = [work for work in left if needs(work) <= done]
        if not free:
            names = ", ".join(work.label for work in left)
            raise CheckError(f"Among {names}, each {sentence} another one, in a circle.", remedy=_NOTHING)
        best = min(free, key=lambda work: (len(wishes(work) - done), work.number))
        left.remove(best)
        done.add(best.number)
        ordered.append(best)
    return ordered
