"""The comparison of two databases, from the snapshots to the differences."""

import secrets
import time
from collections.abc import Callable, Sequence

from checks.errors import CheckError
from checks.tools.postgres import Address
from checks.tools.reconciling import catalog, details, preparing, surroundings
from checks.tools.reconciling.catalog import Catalog
from checks.tools.reconciling.first_pass import FirstPass
from checks.tools.reconciling.matching import Pair, pair
from checks.tools.reconciling.options import Options
from checks.tools.reconciling.pace import Pace
from checks.tools.reconciling.results import Comparison, Progress, TableResult
from checks.tools.reconciling.second_pass import large_objects, search
from checks.tools.reconciling.sides import Side, both, opened


def compare(
    source: Address,
    target: Address,
    options: Options | None = None,
    *,
    seen: Progress | None = None,
    check: Callable[[], None] | None = None,
) -> Comparison:
    """Compare everything that ``options`` select (all, by default) and tell each difference.

    ``seen`` is told how far it is; ``check`` is called several times a second and may raise to stop. Both are called
    in this thread. CheckError: no answer was possible (address, right, lock, version, nothing to compare, ...).
    """
    return _Comparing(source, target, options or Options(), seen, check or (lambda: None)).run()


class _Comparing:
    def __init__(
        self, source: Address, target: Address, options: Options, seen: Progress | None, check: Callable[[], None]
    ) -> None:
        self.options, self.check = options, check
        self.sides = [
            Side(name, address, options.workers, options.lock_seconds)
            for name, address in (("source", source), ("target", target))
        ]
        self.pace = Pace(seen)
        # Positive and below 2^62, so that it is a bigint however it is combined.
        self.seed = options.seed if options.seed is not None else secrets.randbits(62)

    def run(self) -> Comparison:
        began = time.monotonic()
        self.pace.doing("Connecting to both databases")
        with opened(*self.sides, check=self.check):
            preparing.refuse_unfit(self.sides, self.check)
            found = self._compare()
        found.seconds = round(time.monotonic() - began, 3)
        return found

    def _compare(self) -> Comparison:
        self.pace.doing("Reading both catalogs")
        catalogs = both(self.sides, lambda _, connection: catalog.read(connection), self.check)
        labels = sorted(catalogs[0].relations.keys() | catalogs[1].relations.keys())
        self.options.refuse_idle_names([*labels, *(name for one in catalogs for name, _ in one.left_out)])
        chosen = [label for label in labels if self.options.selects(label)]
        if not chosen:
            raise CheckError(
                "There is no table to compare.", remedy="Nothing was compared, which is no pass. Correct the selection."
            )
        preparing.lock(self.sides, [[side.relations[label] for label in chosen if label in side.relations]
                                    for side in catalogs], self.check)  # fmt: skip
        found = Comparison(self.sides[0].facts, self.sides[1].facts, self.options.mode, self.seed)
        found.left_out = sorted({item for side in catalogs for item in side.left_out})
        self._rows(found, catalogs, chosen)
        self._surroundings(found, labels)
        return found

    def _rows(self, found: Comparison, catalogs: Sequence[Catalog], chosen: Sequence[str]) -> None:
        source, target = (side.relations for side in catalogs)
        pairs = [
            pair(source[label], target[label], self.options, self.seed)
            for label in chosen if label in source and label in target
        ]  # fmt: skip
        lonely = [
            (index, side.relations[label]) for index, side in enumerate(catalogs)
            for label in chosen if label in side.relations and not (label in source and label in target)
        ]  # fmt: skip
        first = FirstPass(self.sides, pairs, lonely, self.pace, self.check)
        first.run()
        results = {table.label: table for table in first.lonely_results}
        for one in pairs:
            results[one.label] = self._table(one, first)
        found.tables = [results[label] for label in chosen]

    def _table(self, one: Pair, first: FirstPass) -> TableResult:
        result = first.result(one)
        result.notes = list(one.notes)
        result.tolerated = self.options.mode == "equivalent" and not one.lacks_columns
        unequal = first.unequal(one)
        if unequal:
            self.pace.doing(f"Looking for the rows of {one.label} that differ")
            tallied = search(self.sides, first.search(one, unequal), self.options, self.check)
            result.missing, result.extra, result.changed = tallied.missing, tallied.extra, tallied.changed
            result.differences = details.fetch(self.sides, one, tallied.found, self.check)
        return result

    def _surroundings(self, found: Comparison, labels: Sequence[str]) -> None:
        options = self.options
        if options.schema:
            self.pace.doing("Comparing the schemas")
            (ours, versions), (theirs, others) = both(
                self.sides, lambda _, connection: surroundings.schema_objects(connection), self.check
            )
            found.schema = surroundings.schema_differences(ours, theirs, options, labels)
            found.extensions = surroundings.extension_differences(versions, others)
        if options.sequences:
            self.pace.doing("Comparing the sequences")
            (was, _), (now, behind) = both(
                self.sides, lambda _, connection: surroundings.sequences(connection), self.check
            )
            found.sequences = surroundings.sequence_differences(was, now, behind, options)
            found.sequence_count = len(was.keys() | now.keys())
        if options.large_objects and not options.tables:
            self.pace.doing("Comparing the large objects")
            found.large_objects = large_objects(self.sides, self.seed, options, self.check)
