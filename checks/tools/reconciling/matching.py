"""Which table is compared with which, on which columns, by which key; and the SQL of a row's hash on either side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from psycopg import sql
from psycopg.sql import SQL, Composable

from checks.errors import CheckError
from checks.tools import bytes_hash
from checks.tools.reconciling.catalog import Column, Relation
from checks.tools.reconciling.normalising import normalised
from checks.tools.reconciling.options import Options, matches

T = TypeVar("T")
_INTEGERS = {20, 21, 23}
_FLOATS = {700, 701}
_TEXTS = {25, 1043}
_UUID = 2950


@dataclass(frozen=True)
class Compared:
    """One column on both sides. ``as_text``: both go through text, because a binary form would differ by itself."""

    name: str
    source: Column
    target: Column
    as_text: bool
    normalisers: Sequence[str] = ()

    @property
    def oid(self) -> int:
        """The type in the hash, 0 for text made of another type."""
        return 0 if self.as_text or self.normalisers else self.source.oid

    @property
    def stored(self) -> Composable:
        return SQL("t.{}").format(sql.Identifier(self.name))

    @property
    def expression(self) -> Composable:
        """SQL of the value as it is hashed, over the alias t; the same on both sides."""
        if self.normalisers:
            return normalised(self.stored, self.normalisers)
        if self.as_text:
            return SQL("{}::text").format(self.stored)
        if self.oid in _FLOATS:
            # NaN has more than one binary form, and a dump keeps none of them.
            word = SQL("'NaN'::float4" if self.oid == 700 else "'NaN'::float8")
            return SQL("CASE WHEN {0} = {1} THEN {1} ELSE {0} END").format(self.stored, word)
        return self.stored


@dataclass(frozen=True)
class Pair:
    """A table that both sides have. ``notes``: how the columns differ, in sentences.

    ``server``: the version of the older server, whose words both understand. ``one_encoding``: whether both keep a
    text as the same bytes.
    """

    label: str
    source: Relation
    target: Relation
    columns: Sequence[Compared]
    key: Sequence[Compared]
    seed: int
    server: int
    one_encoding: bool
    notes: Sequence[str] = ()
    hidden: frozenset[str] = field(default_factory=frozenset)

    def relation(self, side: int) -> Relation:
        return (self.source, self.target)[side]

    @property
    def lacks_columns(self) -> bool:
        """Whether a column that should be compared is on one side only."""
        return any(" only in the " in note for note in self.notes)

    @property
    def row_hash(self) -> Composable:
        """SQL of 64 bits over the whole row."""
        return self.hash_of(self.columns)

    @property
    def key_hash(self) -> Composable:
        """SQL of 64 bits that are alike for rows of one key; the row's own hash in a table without one.

        The value itself of one integer column; the type's own hash where that is enough and cheap.
        """
        if not self.key:
            return self.row_hash
        if len(self.key) == 1 and self.key[0].source.not_null and self.key[0].target.not_null:
            only = self.key[0]
            if self.by_integer:
                return SQL("{}::bigint").format(only.stored)
            if only.oid == _UUID:
                return SQL("uuid_hash_extended({}, {})").format(only.stored, sql.Literal(self.seed))
            if only.oid in _TEXTS and self.one_encoding:
                return SQL('hashtextextended({} COLLATE "C", {})').format(only.stored, sql.Literal(self.seed))
        return self.hash_of(self.key)

    @property
    def by_integer(self) -> bool:
        """Whether the key is one integer column, so that its order means something."""
        only = self.key[0] if len(self.key) == 1 else None
        return (
            only is not None and not only.normalisers and only.source.oid in _INTEGERS and only.target.oid in _INTEGERS
            and only.source.not_null and only.target.not_null
        )  # fmt: skip

    def hash_of(self, columns: Sequence[Compared]) -> Composable:
        cells = SQL(", ").join(column.expression for column in columns)
        # The outer ROW of one column keeps "no column" and "one null column" apart.
        return bytes_hash.of(SQL("record_send(ROW({}))").format(cells), self.seed, self.server)


def pair(source: Relation, target: Relation, options: Options, seed: int, server: int, *, one_encoding: bool) -> Pair:
    """Columns by name, the best key that both sides have. CheckError where the options name what is not there."""
    label = source.label
    wanted = _chosen_columns(source, target, options)
    normalisers: dict[str, Sequence[str]] = {}
    for pattern, given in options.normalise.items():
        if matches(label, pattern):
            normalisers |= dict(given)
    _refuse_strangers(label, "normalise", normalisers, source, target)
    common = [name for name in wanted if name in source.columns and name in target.columns]
    columns = {
        name: _compared(source.columns[name], target.columns[name], normalisers.get(name, ())) for name in common
    }
    key_names = _key(source, target, options)
    for name in key_names:
        columns.setdefault(name, _compared(source.columns[name], target.columns[name], normalisers.get(name, ())))
    return Pair(
        label, source, target, [columns[name] for name in sorted(columns)], [columns[name] for name in key_names], seed,
        server, one_encoding, _notes(source, target, wanted),
        frozenset(name for name in columns if options.hides(name)),
    )  # fmt: skip


def _compared(source: Column, target: Column, normalisers: Sequence[str]) -> Compared:
    return Compared(
        source.name, source, target, source.as_text or target.as_text or source.oid != target.oid, normalisers
    )


def _chosen_columns(source: Relation, target: Relation, options: Options) -> list[str]:
    """The columns of either side that the options select; what no side stores holds no data."""
    label = source.label
    either = {**target.columns, **source.columns}
    stored = {name for name in either if not all(
        side.columns[name].virtual for side in (source, target) if name in side.columns)}  # fmt: skip
    only = _named(options.columns, label)
    ignored = _named(options.ignore_columns, label) or []
    _refuse_strangers(label, "columns", only or (), source, target)
    _refuse_strangers(label, "ignore_columns", ignored, source, target)
    return sorted(name for name in stored if (only is None or name in only) and name not in ignored)


def _named(mapping: Mapping[str, Sequence[str]], label: str) -> list[str] | None:
    found = [list(value) for pattern, value in mapping.items() if matches(label, pattern)]
    return [name for names in found for name in names] if found else None


def _refuse_strangers(label: str, option: str, names: Any, source: Relation, target: Relation) -> None:
    strangers = sorted(set(names) - source.columns.keys() - target.columns.keys())
    if strangers:
        raise CheckError(
            f"{label} has no column {', '.join(strangers)} on either side.", remedy=f"Correct {option} in the plan."
        )


def _key(source: Relation, target: Relation, options: Options) -> tuple[str, ...]:
    declared = _named(options.keys, source.label)
    if declared is not None:
        lacking = [name for name in declared if name not in source.columns or name not in target.columns]
        if lacking:
            raise CheckError(
                f"The key of {source.label} names {', '.join(lacking)}, which is not a column of both sides.",
                remedy="Correct keys in the plan.",
            )
        return tuple(declared)
    other = {frozenset(names) for names in target.keys}
    return next((names for names in source.keys if frozenset(names) in other), ())


def _notes(source: Relation, target: Relation, wanted: Sequence[str]) -> list[str]:
    notes = []
    for names, where in (
        ([name for name in wanted if name not in target.columns], "source"),
        ([name for name in wanted if name not in source.columns], "target"),
    ):
        if names:
            plural = "s" if len(names) > 1 else ""
            notes.append(f"Column{plural} {', '.join(names)} only in the {where}.")
    for name in wanted:
        if name in source.columns and name in target.columns:
            left, right = source.columns[name].type, target.columns[name].type
            if left != right:
                notes.append(f"Column {name} is {left} in the source and {right} in the target.")
    return notes
