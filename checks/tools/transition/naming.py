"""Columns that name rows of a moved table whose keys change, though no foreign key that is followed leads them along.

Such a number, taken as it is, names somebody else in the target. Known are the foreign keys of both sides; where
neither has one, a column's own name is a reason to ask. One whose name says nothing either is known to nobody.
"""

from collections.abc import Iterator, Sequence

from checks.errors import CheckError
from checks.tools.transition.expression import names_in
from checks.tools.transition.matching import textual
from checks.tools.transition.work import Mapped, TableWork

_FAMILIES = ({"int2", "int4", "int8", "numeric"}, {"text", "varchar", "bpchar", "citext", "name"})
#: In an expression, the source's row as a whole.
_ROW = "x"


def refuse_left_behind(work: TableWork, works: Sequence[TableWork]) -> None:
    """CheckError for a column that would keep the source's number of a row that has another one in the target."""
    for name, one in work.columns.items():
        if one.reference is not None or one.source.references:
            continue
        read = _read(work, one)
        for parent, foreign, says in _named(work, name, one, read, works):
            if foreign is None or not _stays(parent, foreign):
                short = parent.label.removeprefix("public.")
                raise CheckError(
                    f"{work.label}.{name} names rows of {parent.label}, {says}, and they have other keys in the target:"
                    " the same number may be another row there.",
                    remedy=f'Say references: {short} for the column, or references: "-" to take the number as it is.'
                    " Nothing was written.",
                )
        _refuse_outside(work, name, one, works)


def _read(work: TableWork, one: Mapped) -> set[str]:
    """The columns of the source from which the value comes; none for a constant."""
    if not one.source.sql:
        return {one.source.column} if one.source.column else set()
    names = names_in(one.source.sql)
    columns = set(work.source.columns)
    return columns if _ROW in names - columns else names & columns


def _named(
    work: TableWork, name: str, one: Mapped, read: set[str], works: Sequence[TableWork]
) -> Iterator[tuple[TableWork, str | None, str]]:
    """(moved table, its column in the target by which a row is named; how that is known)."""
    for key in work.target.foreign_keys if read else ():
        for child, foreign in zip(key.columns, key.foreign, strict=True):
            yield from (
                (parent, foreign, f"as the target's foreign key {key.name} says")
                for parent in works
                if child == name and parent.label == key.table
            )
    known = False
    for key in work.source.foreign_keys:
        for child, foreign in zip(key.columns, key.foreign, strict=True):
            known = known or child in read
            yield from (
                (parent, _becomes(parent, foreign), f"as the source's foreign key {key.name} says")
                for parent in works
                if child in read and parent.mapping.source_label == key.table and _alike(one, parent, foreign)
            )
    if read and not known and not any(name in key.columns for key in work.target.foreign_keys):
        yield from (
            (parent, parent.mapping.keys_in_target[0], "as its own name says")
            for parent in works
            if _looks(work, name, one, parent) and _alike(one, parent, parent.mapping.key[0])
        )


def _becomes(parent: TableWork, foreign: str) -> str | None:
    """The target's column for a column of the source, if it has one."""
    pairs = dict(zip(parent.mapping.key, parent.mapping.keys_in_target, strict=True))
    taken = (name for name, one in parent.columns.items() if one.source.column == foreign)
    return pairs.get(foreign) or next(taken, None)


def _alike(one: Mapped, parent: TableWork, foreign: str) -> bool:
    """Whether the value can be that key at all; what an expression makes of one may be something else."""
    key = parent.source.columns[foreign].stored_base
    return bool(one.source.column) or one.staged.base == key or any({one.staged.base, key} <= kin for kin in _FAMILIES)


def _looks(work: TableWork, name: str, one: Mapped, parent: TableWork) -> bool:
    """Whether it is called after the other table and its key, as user_id is after accounts_user.id."""
    mapping = parent.mapping
    if len(mapping.key) > 1 or (parent is work and name in mapping.keys_in_target):
        return False
    called = {name.lower(), one.source.column.lower()}
    pairs = ((mapping.label, mapping.keys_in_target[0]), (mapping.source_label, mapping.key[0]))
    return any(called & set(names_for(label, key)) for label, key in pairs)


def names_for(label: str, key: str) -> Iterator[str]:
    """What a column is usually called that names rows of this table."""
    words = label.partition(".")[2].lower().split("_")
    for place in range(len(words)):
        table = "_".join(words[place:])
        for noun in {table, table.removesuffix("s")} - {""}:
            yield from (f"{noun}_{key.lower()}", f"{noun}{key.lower()}")
            if key.lower().startswith(noun):
                yield key.lower()


def _stays(parent: TableWork, name: str) -> bool:
    """Whether each row that arrives, or leads to one that is there, has the same value there as in the source."""
    mapping, one = parent.mapping, parent.columns.get(name)
    if one is None or not one.source.column or one.reference is not None:
        return False
    if name in mapping.matched_by and not (mapping.ignoring and textual(parent, name)):
        return True
    written = mapping.existing == "stop" or mapping.merge.get(name) == "source"
    return written and (mapping.duplicates == "stop" or not mapping.matched_by)


def _refuse_outside(work: TableWork, name: str, one: Mapped, works: Sequence[TableWork]) -> None:
    """The source's foreign keys to tables that do not move; the target's own are asked elsewhere."""
    if any(name in key.columns for key in work.target.foreign_keys):
        return
    moved = {parent.mapping.source_label for parent in works}
    for key in work.source.foreign_keys:
        if one.source.column in key.columns and key.table not in moved:
            raise CheckError(
                f"{work.label}.{name} names rows of {key.table}, as the source's foreign key {key.name} says, which is"
                " not in the mapping: the same number may be another row in the target.",
                remedy='Add that table (match: ..., new: stop, existing: skip), or say references: "-" to take the'
                " number as it is. Nothing was written.",
            )
