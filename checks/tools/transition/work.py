"""One table of a transition while it is under way: its columns resolved against both servers, and pieces of SQL.

On the target two unlogged tables belong to it until the transaction ends: its stage (what the source gave) and its map
(source key, target key, what becomes of the row). In queries stand ``s`` for the stage, ``m`` for the map, ``t`` for
the target, ``p1`` and so on for the maps of the tables that it refers to.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

from psycopg import sql

from checks.tools import bytes_hash
from checks.tools.transition.catalog import Column, OwnSequence, Shape
from checks.tools.transition.declaration import ColumnSource, TableMapping

#: Of the target, for all that is this program's own there; see ``keeping``.
SCHEMA = "gonogo_transition"
_JSON = {"json", "jsonb"}
#: What becomes the other type by a cast that never fails, though that type does not read it as it is written.
_BY_CAST = {("boolean", "integer"), ("money", "numeric")}


class Action(IntEnum):
    """What becomes of one source row. From STOP on, nothing may be written."""

    INSERT = 1
    MERGE = 2
    THERE = 3
    NOT_WANTED = 4
    RULE = 5
    ORPHAN = 6
    TWIN = 7
    STOP_NEW = 10
    STOP_THERE = 11
    STOP_TWIN = 12
    STOP_ORPHAN = 13
    STOP_AMBIGUOUS = 14


SKIPPED = (Action.THERE, Action.NOT_WANTED, Action.RULE, Action.ORPHAN, Action.TWIN)
FIRST_STOP = Action.STOP_NEW


@dataclass(frozen=True)
class Staged:
    """A value of the source as it travels: its SQL there, and the type in which it arrives."""

    expression: sql.Composable
    type: str
    base: str
    plain: bool


@dataclass
class Mapped:
    """One target column. ``stage``: its column in the stage. ``wrong``: some values do not fit the target's type.

    ``fits``: the condition that a value does; asked where the types differ. ``ruled``: rules leave rows out, and what
    stands in those is asked of nobody. ``one_way``: the target's type does not become the source's again.
    """

    column: Column
    source: ColumnSource
    staged: Staged
    stage: str
    reference: "Reference | None" = None
    wrong: bool = False
    ruled: bool = False
    fits: sql.Composable | None = None
    one_way: bool = False

    @cached_property
    def canonical(self) -> str:
        """The type in which both sides are compared: the source's own, so that what the target lost is seen."""
        if self.staged.base != self.column.stored_base and {self.staged.base, self.column.stored_base} <= _JSON:
            return "jsonb"
        both = self.staged.plain and self.column.stored_plain and not self.one_way
        return self.staged.type if both else "text"

    def comparable(self, value: sql.Composable) -> sql.Composable:
        """The value in its canonical type; equal numbers of different scale become the same."""
        cast = sql.SQL("({})::{}").format(value, sql.SQL(self.canonical))
        return sql.SQL("trim_scale({})").format(cast) if _bare(self.canonical) == "numeric" else cast

    @property
    def same_type(self) -> bool:
        return self.staged.type == self.column.type

    def asked(self) -> sql.Composable:
        """The staged value (of ``s``) as it is asked whether it fits."""
        value = sql.SQL("s.{}").format(sql.Identifier(self.stage))
        bare = _bare(self.column.stored)
        return sql.SQL("({})::{}").format(value, sql.SQL(bare)) if (self.staged.type, bare) in _BY_CAST else value

    def cast(self) -> sql.Composable:
        """The staged value in the target's type; null where it was found not to fit, or a rule leaves the row out.

        Of a domain, in the type under it: a domain may refuse the null, and what it takes was asked before.
        """
        value: sql.Composable = sql.SQL("s.{}").format(sql.Identifier(self.stage))
        if self.staged.type == self.column.stored:
            return value
        if not self.column.stored_plain and self.staged.plain and self.staged.base not in ("text", "varchar"):
            value = sql.SQL("({})::text").format(value)
        value = sql.SQL("({})::{}").format(value, sql.SQL(self.column.stored))
        conditions: list[sql.Composable] = [sql.SQL("s.rule = 0")] if self.ruled else []
        if self.wrong and self.fits is not None:
            conditions.append(self.fits)
        if not conditions:
            return value
        return sql.SQL("CASE WHEN {} THEN {} END").format(sql.SQL(" AND ").join(conditions), value)


@dataclass
class Reference:
    """Columns of a table that together name a row of another table of the mapping; ``alias``: that table's map."""

    columns: list[Mapped]
    parent: "TableWork"
    alias: str
    constraint: str
    deferrable: bool

    def join(self) -> sql.Composable:
        """LEFT JOIN of the parent's map; the columns stand in the order of the parent's key."""
        pairs = [
            sql.SQL("{}.{} = s.{}").format(sql.SQL(self.alias), sql.Identifier(f"k{place}"), sql.Identifier(one.stage))
            for place, one in enumerate(self.columns, 1)
        ]
        return sql.SQL(" LEFT JOIN {} {} ON {}").format(
            self.parent.map, sql.SQL(self.alias), sql.SQL(" AND ").join(pairs)
        )

    def column_of(self, mapped: Mapped) -> Column:
        """The column of the parent's key that it names."""
        return self.parent.target.columns[self.parent.mapping.keys_in_target[self.columns.index(mapped)]]

    def value_of(self, mapped: Mapped) -> sql.Composable:
        return sql.SQL("{}.{}").format(sql.SQL(self.alias), sql.Identifier(f"t{self.columns.index(mapped) + 1}"))

    @property
    def present(self) -> sql.Composable:
        """Whether the source row refers to anything at all (a key with a null names nothing)."""
        return sql.SQL(" AND ").join(
            sql.SQL("s.{} IS NOT NULL").format(sql.Identifier(one.stage)) for one in self.columns
        )


@dataclass
class TableWork:
    """One table under way. ``number`` counts from 1 in the order of the plan; ``place``: the transition's in the
    target's journal, by which everything of it there is named.

    ``references`` give columns their new values; ``beside`` are foreign keys to tables of the mapping that give none
    (their columns have theirs from another one, or are taken as they are) and bind the order all the same.
    ``veiled``, ``veiled_in_target``: places in the key whose values are people's own, in the source's and in the
    target's. ``filled``: what the target puts into columns that the mapping does not name; see ``filling``.
    ``source_sum``: of everything that the source gave.
    ``steady_sum``: the same, but without what the clock decides.
    """

    number: int
    mapping: TableMapping
    source: Shape
    target: Shape
    keys: list[Staged]
    columns: dict[str, Mapped]
    place: int = 0
    veiled: frozenset[int] = frozenset()
    veiled_in_target: frozenset[int] = frozenset()
    references: list[Reference] = field(default_factory=list)
    beside: list[Reference] = field(default_factory=list)
    postponed: set[str] = field(default_factory=set)
    filled: dict[str, sql.Composable] = field(default_factory=dict)
    source_rows: int = 0
    source_sum: str = "0"
    steady_sum: str = "0"
    rule_rows: list[int] = field(default_factory=list)

    @property
    def label(self) -> str:
        return self.mapping.label

    @property
    def bound(self) -> list[Reference]:
        """Everything in it that names rows of the mapping's tables."""
        return [*self.references, *self.beside]

    @property
    def stage_name(self) -> str:
        return f"r{self.place}_{self.number}_stage"

    @property
    def stage(self) -> sql.Identifier:
        return sql.Identifier(SCHEMA, self.stage_name)

    @property
    def map(self) -> sql.Identifier:
        return sql.Identifier(SCHEMA, f"r{self.place}_{self.number}_map")

    @property
    def key_names(self) -> list[str]:
        return [f"k{place}" for place in range(1, len(self.keys) + 1)]

    @property
    def target_key_names(self) -> list[str]:
        return [f"t{place}" for place in range(1, len(self.keys) + 1)]

    @property
    def joins(self) -> sql.Composable:
        """FROM the stage with the maps of everything that it refers to."""
        return self.joins_of(self.references)

    def joins_of(self, references: Iterable["Reference"]) -> sql.Composable:
        return sql.Composed([sql.SQL("{} s").format(self.stage), *(reference.join() for reference in references)])

    def value(self, name: str) -> sql.Composable:
        """What the target column is to hold, in queries FROM ``joins``."""
        mapped = self.columns[name]
        if mapped.reference is None:
            return mapped.cast()
        value = mapped.reference.value_of(mapped)
        return value if mapped.fits is None else sql.SQL("CASE WHEN {} THEN {} END").format(mapped.fits, value)

    def hashed(self) -> list[Mapped]:
        """The columns that travel unchanged and are hashed on both sides, in the order of their names."""
        return [self.columns[name] for name in sorted(self.columns) if self.columns[name].reference is None]

    @property
    def numbered_by(self) -> OwnSequence:
        """The sequence that gives new keys."""
        return next(own for own in self.target.sequences if own.column == self.mapping.keys_in_target[0])

    def key_text(self, parts: Iterable[sql.Composable]) -> sql.Composable:
        """A key of the source as people see it."""
        return key_text(parts, self.veiled)

    def same_key(self, left: str = "m", right: str = "s") -> sql.Composable:
        return equal([(column(left, name), column(right, name)) for name in self.key_names])

    def at_target(self, map_alias: str = "m", alias: str = "t") -> sql.Composable:
        """The target row (``t``) that a row of the map names."""
        pairs = zip(self.mapping.keys_in_target, self.target_key_names, strict=True)
        return equal([(column(alias, name), column(map_alias, key)) for name, key in pairs])

    def merged_columns(self) -> list[str]:
        return [name for name, rule in self.mapping.merge.items() if rule != "target"]


def _bare(kind: str) -> str:
    """numeric(6,2) -> numeric."""
    return re.sub(r"\([\d,]+\)", "", kind)


def fingerprint(value: sql.Composable) -> sql.Composable:
    return sql.SQL("'sha256:' || left(encode(sha256(convert_to(({})::text, 'UTF8')), 'hex'), 16)").format(value)


def key_text(parts: Iterable[sql.Composable], veiled: Collection[int]) -> sql.Composable:
    """The parts of a key in one text; of those at the ``veiled`` places, counted from 1, the fingerprint."""
    shown = [fingerprint(part) if place in veiled else part for place, part in enumerate(parts, 1)]
    return sql.SQL("concat_ws(', ', {})").format(listed(shown))


def column(alias: str, name: str) -> sql.Composable:
    return sql.SQL("{}.{}").format(sql.SQL(alias), sql.Identifier(name))


def equal(pairs: Iterable[tuple[sql.Composable, sql.Composable]]) -> sql.Composable:
    return sql.SQL(" AND ").join(sql.SQL("{} = {}").format(*pair) for pair in pairs)


def listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)


def hash_of(values: Sequence[sql.Composable], seed: int, server: int) -> sql.Composable:
    """``server``: the version of the one that hashes; the hash is the same on every one."""
    return bytes_hash.of(sql.SQL("record_send(ROW({}))").format(listed(values)), seed, server)


def row_hash(shape: Shape, seed: int, alias: str = "t", without: Iterable[str] = ()) -> sql.Composable:
    """The hash of a whole row as ``digest.digest_table`` takes it, so that sums of both can be subtracted."""
    left_out = set(without)
    values = [
        column(alias, one.name) if one.plain else sql.SQL("{}::text").format(column(alias, one.name))
        for name, one in sorted(shape.columns.items())
        if name not in left_out
    ]
    return hash_of(values, seed, shape.server)
