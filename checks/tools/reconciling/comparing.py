"""The comparison of two databases, from the snapshots to the differences."""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext

from checks.errors import CheckError
from checks.tools.postgres import Address
from checks.tools.reconciling import catalog, details, preparing, resuming, surroundings
from checks.tools.reconciling.catalog import Catalog
from checks.tools.reconciling.first_pass import FirstPass
from checks.tools.reconciling.matching import Pair, pair
from checks.tools.reconciling.options import Options
from checks.tools.reconciling.pace import Pace
from checks.tools.reconciling.results import Comparison, Progress, TableResult
from checks.tools.reconciling.resuming import Keeper
from checks.tools.reconciling.second_pass import large_objects, search
from checks.tools.reconciling.sides import Side, both, older, opened

#: What a comparison does, one after the other: name -> title.
PHASES = {
    "open": "Open one moment of both databases",
    "read": "Read every row on both sides",
    "find": "Find the rows that differ",
    "surroundings": "Compare schema, sequences and large objects",
}
Phase = Callable[[str], AbstractContextManager[object]]


def compare(
    source: Address,
    target: Address,
    options: Options | None = None,
    *,
    seen: Progress | None = None,
    check: Callable[[], None] | None = None,
    phase: Phase | None = None,
    keeper: Keeper | None = None,
) -> Comparison:
    """Compare everything that ``options`` select (all, by default) and tell each difference.

    ``seen`` is told how far it is; ``check`` is called several times a second and may raise to stop; ``phase`` is
    entered for each of PHASES; ``keeper`` keeps results between the attempts of one run. All are called in this
    thread. CheckError: no answer was possible (address, right, lock, version, nothing to compare, ...).
    """
    comparing = _Comparing(source, target, options or Options(), seen, check or (lambda: None), keeper)
    return comparing.run(phase or nullcontext)


class _Comparing:
    def __init__(
        self, source: Address, target: Address, options: Options, seen: Progress | None, check: Callable[[], None],
        keeper: Keeper | None,
    ) -> None:  # fmt: skip
        self.options, self.check, self.keeper = options, check, keeper
        self.sides = [
            Side(name, address, options.workers, options.lock_seconds)
            for name, address in (("source", source), ("target", target))
        ]
        self.pace = Pace(seen)
        self.earlier = resuming.newest(keeper.load()) if keeper is not None else None
        # Positive and below 2^62, so that it is a bigint however it is combined.
        chosen = options.seed if options.seed is not None else secrets.randbits(62)
        self.seed = self.earlier.seed if self.earlier is not None else chosen

    def run(self, phase: Phase) -> Comparison:
        began = time.monotonic()
        with ExitStack() as stack:
            with phase("open"):
                self.pace.doing("Connecting to both databases")
                stack.enter_context(opened(*self.sides, check=self.check))
                preparing.refuse_unfit(self.sides, self.check)
                catalogs, labels, chosen = self._catalogs()
            found = Comparison(self.sides[0].facts, self.sides[1].facts, self.options.mode, self.seed)
            found.left_out = sorted(
                {item for side in catalogs for item in side.left_out}
                | {(label, "the plan says so") for label in labels if self.options.leaves_out(label)}
            )
            found.not_compared = surroundings.NOT_COMPARED if self.options.tables else ""
            with phase("read"):
                first = self._read(catalogs, chosen)
                found.resumed = _resumed(first)
            with phase("find"):
                self._find(found, first, chosen)
            with phase("surroundings"):
                self._surroundings(found, labels)
        found.seconds = round(time.monotonic() - began, 3)
        return found

    def _catalogs(self) -> tuple[list[Catalog], list[str], list[str]]:
        """Both catalogs, the tables of either side, and those of them that are compared; these are locked."""
        self.pace.doing("Reading both catalogs")
        catalogs = both(self.sides, lambda _, connection: catalog.read(connection), self.check)
        labels = sorted(catalogs[0].relations.keys() | catalogs[1].relations.keys())
        self.options.refuse_idle_names(labels, dict(item for one in catalogs for item in one.left_out))
        self.options.refuse_parts_elsewhere([item for one in catalogs for item in one.elsewhere])
        chosen = [label for label in labels if self.options.selects(label)]
        if not chosen:
            raise CheckError(
                "There is no table to compare.", remedy="Nothing was compared, which is no pass. Correct the selection."
            )
        mine = [{label: side.relations[label] for label in chosen if label in side.relations} for side in catalogs]
        preparing.lock(self.sides, [list(relations.values()) for relations in mine], self.check)
        known = dict(zip((side.name for side in self.sides), mine, strict=True))
        sizes = both(
            self.sides, lambda side, connection: catalog.measured(connection, known[side.name]), self.check
        )  # fmt: skip
        measured = [Catalog(size, one.left_out) for size, one in zip(sizes, catalogs, strict=True)]
        return measured, labels, chosen

    def _read(self, catalogs: Sequence[Catalog], chosen: Sequence[str]) -> FirstPass:
        source, target = (side.relations for side in catalogs)
        one_encoding = len({side.encoding for side in self.sides}) == 1
        pairs = [
            pair(source[label], target[label], self.options, self.seed, older(self.sides), one_encoding=one_encoding)
            for label in chosen if label in source and label in target
        ]  # fmt: skip
        lonely = [
            (index, side.relations[label]) for index, side in enumerate(catalogs)
            for label in chosen if label in side.relations and not (label in source and label in target)
        ]  # fmt: skip
        first = FirstPass(
            self.sides, pairs, lonely, self.pace, self.check, keeper=self.keeper, earlier=self.earlier
        )  # fmt: skip
        first.run()
        return first

    def _find(self, found: Comparison, first: FirstPass, chosen: Sequence[str]) -> None:
        results = {table.label: table for table in first.lonely_results}
        self.pace.expect(sum(table.in_question() for table in first.tables.values()))
        for one in first.pairs:
            results[one.label] = self._table(one, first)
        found.tables = [results[label] for label in chosen]

    def _table(self, one: Pair, first: FirstPass) -> TableResult:
        result = first.tables[one.label].result()
        result.notes = list(one.notes)
        result.tolerated = self.options.mode == "equivalent" and not one.lacks_columns
        unequal = first.tables[one.label].unequal()
        if unequal:
            doing = f"Looking for the rows of {one.label} that differ"
            self.pace.doing(doing)
            tallied = search(
                self.sides,
                first.search(one, unequal),
                self.options,
                self.check,
                lambda rows: self.pace.read(rows, doing),
            )
            result.missing, result.extra, result.changed = tallied.missing, tallied.extra, tallied.changed
            result.differences = details.fetch(self.sides, one, tallied.found, self.check)
        _refuse_unexplained(result, equal=first.tables[one.label].equal)
        return result

    def _surroundings(self, found: Comparison, labels: Sequence[str]) -> None:
        options = self.options
        owners, of_target = both(self.sides, lambda _, connection: surroundings.owners(connection), self.check)
        tables = {*labels, *(name for name, _ in found.left_out)}
        selected = surroundings.Selection(options, tables, {**of_target, **owners})
        if options.schema:
            self.pace.doing("Comparing the schemas")
            (ours, versions), (theirs, others) = both(
                self.sides, lambda _, connection: surroundings.schema_objects(connection), self.check
            )
            found.schema = surroundings.schema_differences(ours, theirs, selected)
            found.extensions = surroundings.extension_differences(versions, others)
        if options.sequences:
            self.pace.doing("Comparing the sequences")
            (was, _), (now, behind) = both(
                self.sides, lambda _, connection: surroundings.sequences(connection), self.check
            )
            found.sequences = surroundings.sequence_differences(was, now, behind, selected)
            found.sequence_count = len(was.keys() | now.keys())
        if options.large_objects and not options.tables:
            self.pace.doing("Comparing the large objects")
            found.large_objects = large_objects(self.sides, self.seed, options, self.check)


def _refuse_unexplained(result: TableResult, *, equal: bool) -> None:
    """What the sums say and what the rows say must be the same; where they are not, there is no answer."""
    if result.adds_up and equal != bool(result.missing or result.extra or result.changed):
        return
    raise CheckError(
        f"The rows of {result.label} are not the same on both sides ({result.source_rows:,} and"
        f" {result.target_rows:,}), and reading them one by one does not show which differ.",
        remedy="This is no pass. Something of this table's definition is not understood: leave the table out, compare"
        " it otherwise, and report how it is defined.",
    )


def _resumed(first: FirstPass) -> str:
    """What an earlier attempt saved, and why that may be used."""
    taken = sum(table.taken_up for table in first.tables.values())
    if not taken and not first.refuted:
        return ""
    units = sum(len(done) for table in first.tables.values() for done in table.done)
    anew = f" {first.refuted:,} more were read anew, because their tables may have changed." if first.refuted else ""
    return (
        f"An attempt before this one was lost. {taken:,} of {units:,} units of work were taken up from it, after each"
        f" was seen to hold the same rows still.{anew}"
    )
