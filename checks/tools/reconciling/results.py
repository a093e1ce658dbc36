"""What a comparison found. Every count is exact; only the told differences are limited."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Sort = Literal["missing", "extra", "changed"]


@dataclass(frozen=True)
class Tally:
    """How far it is. ``rows`` of ``total`` were read on both sides together; ``total`` is the server's estimate.

    ``left``: seconds that the rest will take at this pace; None while nobody can say.
    """

    doing: str
    rows: int
    total: int
    left: float | None


class Progress(Protocol):
    """Called in the caller's thread, several times a second."""

    def __call__(self, tally: Tally, /) -> None: ...


@dataclass(frozen=True)
class Cell:
    """One column of a differing row. A value is its text, None for NULL; of a hidden column both are None.

    ``cut``: the text was longer. A side on which the row is missing has None too.
    """

    column: str
    source: str | None
    target: str | None
    differs: bool
    hidden: bool = False
    cut: bool = False


@dataclass(frozen=True)
class Difference:
    """``missing``: in the source only. ``extra``: in the target only. ``key``: column -> text; empty without a key."""

    sort: Sort
    key: Mapping[str, str | None]
    cells: Sequence[Cell]


@dataclass
class TableResult:
    """One table. ``only_in``: 'source' or 'target' where the other side has no such table.

    ``how``: what told rows apart. ``notes``: what of the columns is not alike; these are differences as well
    unless ``tolerated``. ``taken_up``: units of work whose results come from an earlier attempt.
    """

    label: str
    source_rows: int = 0
    target_rows: int = 0
    missing: int = 0
    extra: int = 0
    changed: int = 0
    only_in: str = ""
    key: Sequence[str] = ()
    how: str = ""
    notes: list[str] = field(default_factory=list)
    tolerated: bool = False
    units: int = 0
    taken_up: int = 0
    seconds: float = 0.0
    differences: list[Difference] = field(default_factory=list)

    @property
    def agreed(self) -> int:
        """Rows that are on both sides and equal."""
        return 0 if self.only_in else self.source_rows - self.missing - self.changed

    @property
    def adds_up(self) -> bool:
        """Whether both sides have the same rows once those that only one side has are taken away."""
        return self.source_rows - self.missing == self.target_rows - self.extra

    @property
    def agrees(self) -> bool:
        differs = self.only_in or self.missing or self.extra or self.changed or (self.notes and not self.tolerated)
        return not differs and self.adds_up

    def as_json(self) -> dict[str, Any]:
        names = ("label", "source_rows", "target_rows", "missing", "extra", "changed", "only_in", "how", "notes",
                 "tolerated", "units", "taken_up")  # fmt: skip
        told = {name: getattr(self, name) for name in names}
        return {**told, "key": list(self.key), "agreed": self.agreed, "agrees": self.agrees}


@dataclass(frozen=True)
class SequenceDifference:
    """A position is the last value given out; None: none yet, or no such sequence (``said`` tells)."""

    name: str
    source: int | None
    target: int | None
    said: str


@dataclass(frozen=True)
class SideFacts:
    """Which database it was, and its state as of when. ``snapshot``: what the server calls it."""

    server: str
    database: str
    version: str
    moment: str
    snapshot: str


@dataclass
class Comparison:
    """Two databases compared. ``schema``: names of objects that are (missing, extra, changed) in the target.

    ``left_out``: (table, why). ``not_compared``: '' or a sentence on what a selection does not reach.
    ``resumed``: '' or a sentence on units that were taken up from an earlier attempt.
    """

    source: SideFacts
    target: SideFacts
    mode: str
    seed: int
    tables: list[TableResult] = field(default_factory=list)
    schema: Mapping[Sort, list[str]] = field(default_factory=dict)
    sequences: list[SequenceDifference] = field(default_factory=list)
    sequence_count: int = 0
    large_objects: TableResult | None = None
    extensions: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    not_compared: str = ""
    resumed: str = ""
    seconds: float = 0.0

    @property
    def counted(self) -> list[TableResult]:
        """The tables, and the large objects as one more."""
        return [*self.tables, *([self.large_objects] if self.large_objects else [])]

    @property
    def compared(self) -> int:
        """Tables that are on both sides."""
        return sum(not table.only_in for table in self.tables)

    @property
    def rows(self) -> int:
        return sum(table.source_rows for table in self.counted)

    def total(self, sort: Sort) -> int:
        return sum(getattr(table, sort) for table in self.counted)

    @property
    def schema_differs(self) -> bool:
        return any(self.schema.values()) or bool(self.extensions)

    @property
    def data_agrees(self) -> bool:
        """Rows and large objects only."""
        return all(table.agrees for table in self.counted)

    @property
    def agrees(self) -> bool:
        """In the mode ``equivalent`` the schemas may differ; a table or column that one side lacks may not."""
        return self.data_agrees and not self.sequences and not (self.schema_differs and self.mode == "identical")
