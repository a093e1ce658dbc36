"""One table as the first pass sums it up, on both sides.

Where both files have the same number of pages the rows may well lie alike, as in a clone. Such a table is first read
without buckets, which is a third cheaper: units whose sums are equal hold the same rows and need no second look. As
soon as too many are not, the rest is read in buckets. A table whose sums are equal as a whole agrees, however its rows
lie.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from checks.tools.reconciling import units
from checks.tools.reconciling.matching import Pair
from checks.tools.reconciling.results import TableResult
from checks.tools.reconciling.resuming import Stored
from checks.tools.reconciling.units import Buckets, Totals, Unit

#: Reading without buckets goes on while at most this part of all units has to be read once more.
UNLIKE_UNITS = 0.05
_HOW = {"one": "in one go", "hash": "buckets by the hash of the key", "range": "buckets by ranges of the key"}
ALIKE = "unit by unit, because both lie alike on disk"

#: name of a unit -> its rows, and the sum of their hashes
Plain = dict[str, tuple[int, int]]


@dataclass
class Summed:
    """``totals``: what was read in buckets. ``plain``: what was read without. ``done``: name of a unit -> its rows.

    These have one value for each side. ``alike``: whether units are read without buckets now. ``equal`` and
    ``matched`` (units that hold the same rows on both sides) are known once it is judged.
    """

    pair: Pair
    buckets: Buckets
    totals: tuple[Totals, Totals] = field(default_factory=lambda: (Totals(), Totals()))
    plain: tuple[Plain, Plain] = field(default_factory=lambda: ({}, {}))
    done: tuple[dict[str, int], dict[str, int]] = field(default_factory=lambda: ({}, {}))
    alike: bool = False
    equal: bool = False
    matched: set[str] = field(default_factory=set)
    taken_up: int = 0
    unlike: int = 0

    def __post_init__(self) -> None:
        source, target = ([(part.label, part.pages) for part in self.pair.relation(side).parts] for side in (0, 1))
        self.alike = self.buckets.kind != "one" and source == target

    def note(self, side: int, unit: Unit, found: Sequence[tuple[Any, ...]]) -> int:
        """Take up a unit that was read without buckets; returns its rows."""
        ((_, count, total),) = found
        self.plain[side][unit.name] = (count, int(total))
        other = self.plain[1 - side].get(unit.name)
        if other is not None and other != (count, int(total)):
            self.unlike += 1
            every = sum(part.pages for part in self.pair.source.parts) / units.PAGES_IN_A_UNIT
            self.alike = self.alike and self.unlike <= UNLIKE_UNITS * every
        return int(count)

    def judge(self) -> None:
        """When everything was read once: whether the whole agrees, and if not, which units need no second look."""
        source, target = (self._whole(side) for side in (0, 1))
        self.equal = source == target
        left, right = self.plain
        self.matched = {name for name, sums in left.items() if right.get(name) == sums}

    def _whole(self, side: int) -> tuple[int, int]:
        sums = [*self.plain[side].values(), *self.totals[side].sums.values()]
        return sum(rows for rows, _ in sums), sum(total for _, total in sums)

    def unequal(self) -> list[int]:
        """Buckets that differ, once what is unlike was read in buckets as well."""
        return [] if self.equal else units.unequal(*self.totals)

    def in_question(self) -> int:
        """Rows of both sides that lie in buckets that differ."""
        return sum(side.sums.get(bucket, (0, 0))[0] for bucket in self.unequal() for side in self.totals)

    def result(self) -> TableResult:
        how = "no key: rows counted by their content, " if not self.pair.key else ""
        how += ALIKE if self.alike else _HOW[self.buckets.kind]
        source, target = (sum(done.values()) for done in self.done)
        return TableResult(
            self.pair.label, source, target, key=[column.name for column in self.pair.key], how=how,
            units=sum(len(done) for done in self.done), taken_up=self.taken_up,
        )  # fmt: skip

    def stored(self, shape: str) -> Stored:
        return Stored(shape, self.buckets, self.totals, self.plain, self.done)

    def take_up(self, stored: Stored) -> None:
        self.buckets, self.totals, self.plain, self.done = stored.buckets, stored.totals, stored.plain, stored.done
        self.taken_up = stored.units
        self.alike = self.alike and not any(side.sums for side in self.totals)
