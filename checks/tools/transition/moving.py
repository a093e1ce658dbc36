"""One transition from beginning to end, the same on a clone and for real: staged, matched, checked, moved, proven.

Everything on the target happens in one transaction. Where a conflict or an unexplained difference is found it is
rolled back, and the target is as it was: rows, sequences, triggers.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from checks.errors import CheckError
from checks.kinds.base import RunContext, StepHandle
from checks.tools import digest
from checks.tools.background import Background
from checks.tools.digest import Table
from checks.tools.postgres import Address, Connection
from checks.tools.transition import (
    again,
    allowances,
    bystanders,
    collisions,
    committing,
    constraints,
    declaration,
    discretion,
    encodings,
    filling,
    keeping,
    locking,
    matching,
    preflight,
    proof,
    resolving,
    staging,
    telling,
    writing,
)
from checks.tools.transition.declaration import TableMapping
from checks.tools.transition.preflight import Conflict
from checks.tools.transition.proof import Proof, Sums
from checks.tools.transition.sides import Sides
from checks.tools.transition.work import Action, Reference, TableWork

#: Fixed, so that what was hashed at the move can be hashed again at its undo.
SEED = 7_340_033
#: Of the target's session. Joins and sorts of a table with its stage stay in memory up to a million rows.
#: Row hashes cost more than the planner thinks, so that several processes are worth it sooner than it thinks; how many
#: there may be is the server's own setting.
_SETTINGS = {"work_mem": "96MB", "jit": "off", "parallel_setup_cost": "10", "parallel_tuple_cost": "0.001"}


@dataclass(frozen=True)
class Rules:
    """What a transition keeps to; from the plan. Times in seconds."""

    tables: list[TableMapping]
    triggers: str
    may_change: Mapping[str, str]
    everything: bool
    source_may_change: bool
    lock_seconds: float
    statement_seconds: float


@dataclass
class Moved:
    """What came of it. ``committed`` is true only when nothing was in conflict and the proof held.

    ``locked_seconds``: how long nobody else could write the target's tables.
    ``refusals``: sentences about what is explained and yet keeps the move from standing.
    """

    works: list[TableWork]
    conflicts: list[Conflict] = field(default_factory=list)
    tallies: dict[str, dict[tuple[Action, int], int]] = field(default_factory=dict)
    proof: Proof = field(default_factory=Proof)
    sequences: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    changed_meanwhile: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    locked_seconds: float = 0.0
    committed: bool = False

    @property
    def refused(self) -> bool:
        return bool(self.conflicts or self.proof.differences or self.refusals)


class Mover:
    """Moves from ``source`` to ``target``. ``enter(key)`` enters a step (the run's own), by the names of ``KEYS``."""

    KEYS = ("stage", "preflight", "move", "keep", "prove")

    def __init__(
        self,
        context: RunContext,
        source: Address,
        target: Address,
        rules: Rules,
        facts: Mapping[str, Any],
        *,
        enter: Callable[[str], AbstractContextManager[StepHandle]] | None = None,
    ) -> None:
        self._enter = enter or context.step
        self.context, self.rules, self.facts = context, rules, facts
        addresses = {"source": source, "target": target}
        self.sides = Sides(context, addresses, rules.lock_seconds, rules.statement_seconds)
        self.moved = Moved([])
        self.before: dict[int, Sums] = {}
        self.positions: dict[str, keeping.Position] = {}
        self.elsewhere: list[Table] = []
        self._locked_at = 0.0

    def run(self, keep: Callable[[Connection, Moved], None] = lambda connection, moved: None) -> Moved:
        """Do it all. ``keep`` is called before the transaction ends, to read what would be gone afterwards."""
        with self.sides.source() as source, self.sides.target() as target:
            with self._timed("stage") as step:
                self._prepare(source, target)
                self._stage(source, target, step)
            with self._timed("preflight") as step:
                self._preflight(source, target, step)
                if self.moved.conflicts:
                    step.fail(f"{len(self.moved.conflicts)} conflicts; nothing was written")
            if not self.moved.conflicts:
                with self._timed("move") as step:
                    self._move(target, step)
                with self._timed("keep") as step:
                    self._keep(target, step)
                with self._timed("prove") as step:
                    self._prove(source, target, step)
            keep(target, self.moved)
            if self.moved.refused:
                target.rollback()
            else:
                staging.remove(target, self.moved.works)
                self._commit(target)
            self.moved.locked_seconds = round(time.monotonic() - self._locked_at, 3)
        return self.moved

    def _commit(self, target: Connection) -> None:
        place, run = self.moved.works[0].place, self.facts["run"]
        unknown = CheckError(
            "The connection to the target was lost while the transition was committed, so nobody knows whether it was.",
            remedy=f"Look into the target's table gonogo_transition.journal for run {run}, once no session of"
            " pg_stat_activity there is committing any more. A row means: moved, whole and proven. No row means:"
            " untouched.",
        )
        stands = partial(keeping.stands, place=place, run_id=self.facts["run_id"])
        committing.commit(target, self.sides.target, stands, unknown)
        self.moved.committed = True

    @contextmanager
    def _timed(self, key: str) -> Iterator[StepHandle]:
        began = time.monotonic()
        with self._enter(key) as step:
            try:
                yield step
            finally:
                self.moved.seconds[key] = round(time.monotonic() - began, 3)

    # --- the steps ---------------------------------------------------------------------------------------------------

    def _prepare(self, source: Connection, target: Connection) -> None:
        """Resolve the mapping, then lock before the first look, so that both snapshots are of after the lock."""
        locking.take_turn(self.context, target, alone=False, seconds=self.rules.lock_seconds, what="the target")
        self.moved.works = resolving.resolve(source, target, self.rules.tables)
        works = self.moved.works
        allowances.refuse_unknown(target, works, self.rules.may_change)
        for work in works:
            discretion.veil(work, self.context.plan.privacy)
            free = allowances.columns(work, self.rules.may_change)
            work.filled = {name: value for name, value in filling.known(target, work).items() if name not in free}
            self.moved.notes += telling.notes(work, self.rules.triggers, free)
        shapes = [work.target for work in works]
        self.positions = locking.seize(self.context, target, shapes, seconds=self.rules.lock_seconds, what="the target")
        self._locked_at = time.monotonic()
        source.rollback()
        resolving.refuse_changed(target, works)
        place = keeping.open_journal(target)
        for work in works:
            work.place = place
        for name, value in _SETTINGS.items():
            target.execute(f"SET LOCAL {name} = '{value}'")

    def _stage(self, source: Connection, target: Connection, step: StepHandle) -> None:
        works = self.moved.works
        for work in works:
            self.moved.conflicts += self.sides.ask(source, partial(encodings.encodings, source, target, work))
        if self.moved.conflicts:
            return
        total, done = sum(self.sides.ask(source, partial(staging.rows_of, source, work)) for work in works), 0

        def seen(rows: int) -> None:
            nonlocal done
            done = min(done + rows, total)
            step.progress(done, total, "rows")

        for work in works:
            step.doing(f"Copying {work.source.label}")
            pieces = self.sides.pieces(source, staging.unload(work))
            with closing(pieces):
                staging.stage(self.context, target, work, pieces, seen)
            self.sides.ask(target, partial(staging.analyse, target, work))
        step.figure("rows", total)

    def _count(self, source: Connection) -> None:
        for work in self.moved.works:
            staging.count(source, work, SEED)

    def _preflight(self, source: Connection, target: Connection, step: StepHandle) -> None:
        """The source counts and hashes what it gave while the target is asked for conflicts: two servers, two cores."""
        with Background(source, partial(self._count, source)) as counting:
            if not self.moved.conflicts:
                self._look_for_conflicts(target, step)
            counting.result(self.context)
        if not self.moved.conflicts and not any(work.source_rows for work in self.moved.works):
            # Before anything is kept: what stands in the journal is not moved again.
            raise CheckError(
                "The source holds no row of the declared tables, so nothing was moved.",
                remedy="Correct the source in the plan, or wait until there is something to move.",
            )
        self.moved.notes += [
            f"{work.source.label} has no row in the source, so nothing of it was moved or proven."
            for work in self.moved.works
            if not work.source_rows
        ]
        step.figure("conflicts", len(self.moved.conflicts))

    def _look_for_conflicts(self, target: Connection, step: StepHandle) -> None:
        self._look_before(target, step)
        for work in self.moved.works:
            step.doing(f"Asking whether the values of {work.label} fit")
            self.moved.conflicts += self.sides.ask(target, partial(preflight.misfits, target, work))
            self.moved.conflicts += self.sides.ask(target, partial(preflight.keys, target, work))
        if any(conflict.kind == "key" for conflict in self.moved.conflicts):
            return  # Which row is meant is not known then, so nothing more can be asked.
        late = self._match(target, step)
        self.sides.ask(target, lambda: matching.follow_late_references(target, self.moved.works, late))
        for work in self.moved.works:
            step.doing(f"Looking for conflicts in {work.label}")
            self.moved.conflicts += self.sides.ask(target, partial(self._conflicts, target, work))

    def _look_before(self, target: Connection, step: StepHandle) -> None:
        """What must not change: all rows of the moved tables; and which other tables there are."""
        works, rules = self.moved.works, self.rules
        step.doing("Noting what must not change")
        for work in works:
            free = allowances.columns(work, rules.may_change)
            self.before[work.number] = self.sides.ask(target, partial(proof.whole, target, work, SEED, free))
        if rules.everything:
            self.elsewhere = bystanders.tables(target, works)

    def _match(self, target: Connection, step: StepHandle) -> dict[int, list[Reference]]:
        """Build every map; returns the references that could not be followed yet, by table."""
        ready: set[int] = set()
        late: dict[int, list[Reference]] = {}
        for work in resolving.order_of_matching(self.moved.works):
            step.doing(f"Recognising rows of {work.label}")
            late[work.number] = [one for one in work.references if one.parent.number not in ready]
            self.sides.ask(target, partial(matching.build_map, target, work, set(ready)))
            ready.add(work.number)
        return late

    def _conflicts(self, target: Connection, work: TableWork) -> list[Conflict]:
        tally = matching.tally(target, work)
        self.moved.tallies[work.label] = tally
        return [
            *preflight.stops(tally, target, work),
            *again.moved(target, work, self.facts["section"], allowances.columns(work, self.rules.may_change)),
            *constraints.numbers(target, work),
            *constraints.last_numbers(target, work),
            *preflight.nulls(target, work),
            *constraints.foreign(target, work, self.moved.works),
            *constraints.halves(target, work),
            *constraints.checks(target, work),
            *constraints.partitions(target, work),
            *collisions.uniques(target, work),
            *collisions.exclusions(target, work),
        ]

    def _move(self, target: Connection, step: StepHandle) -> None:
        works = resolving.order_of_writing(self.moved.works)
        target.execute("SET CONSTRAINTS ALL DEFERRED")
        for work in works:
            if self.rules.triggers == "off":
                writing.switch_triggers(target, work.target, on=False)
        for place, work in enumerate(works):
            step.doing(f"Writing {work.label}")
            step.progress(place, len(works), "tables")
            self.sides.ask(target, partial(self._write, target, work))
        for work in works:
            self.sides.ask(target, partial(writing.second_step, target, work))
        step.doing("Asking every constraint")
        self.sides.ask(target, lambda: target.execute("SET CONSTRAINTS ALL IMMEDIATE"))
        for work in works:
            for label, step_on in writing.advance(target, work).items():
                # One sequence may feed several tables: then it is pushed on from where it stood at first.
                first = self.moved.sequences.get(label, step_on)["from"]
                self.moved.sequences[label] = {**step_on, "from": first}
            if self.rules.triggers == "off":
                writing.switch_triggers(target, work.target, on=True)

    def _keep(self, target: Connection, step: StepHandle) -> None:
        works = resolving.order_of_writing(self.moved.works)
        for place, work in enumerate(works):
            step.doing(f"Keeping which row of {work.label} became which")
            step.progress(place, len(works), "tables")
            self.sides.ask(target, partial(keeping.keep_keys, target, work, SEED))
        document = self._document(target, works)
        keeping.write_journal(target, place=works[0].place, facts=self.facts, document=document)

    def _write(self, target: Connection, work: TableWork) -> None:
        keeping.keep_before(target, work)
        writing.merge(target, work)
        writing.insert(target, work)

    def _document(self, target: Connection, works: list[TableWork]) -> dict[str, Any]:
        after = {own.label: keeping.position(target, own) for work in works for own in work.target.sequences}
        return {
            "seed": SEED,
            "mapping": declaration.digest(self.rules.tables),
            "tables": [
                {
                    "number": work.number,
                    "table": work.label,
                    "keys": work.mapping.keys_in_target,
                    "postponed": sorted(work.postponed),
                    "veiled": sorted(work.veiled_in_target),
                    "veiled_in_source": sorted(work.veiled),
                }
                for work in works
            ],
            "sequences": {
                label: {"before": [was.last, was.called], "after": [after[label].last, after[label].called]}
                for label, was in self.positions.items()
            },
        }

    def _prove(self, source: Connection, target: Connection, step: StepHandle) -> None:
        moved, rules = self.moved, self.rules
        # Each table is compared in the target and read once more in the source; the other tables are one thing more.
        total, works = 2 * len(moved.works) + rules.everything, moved.works
        for place, work in enumerate(works):
            step.doing(f"Comparing {work.label} with the source")
            step.progress(place / total)
            told, figures = self.sides.ask(target, partial(self._proof_of, target, work))
            moved.proof.differences += told
            moved.proof.tables[work.label] = figures
        if rules.everything:
            step.doing("Comparing every other table with what it was")
            step.progress(len(works) / total)
            moved.proof.differences += self._elsewhere(target)
        self._source_meanwhile(source, step, total)
        for sentence in [*moved.proof.differences, *moved.refusals][:1]:
            step.fail(sentence)

    def _proof_of(self, target: Connection, work: TableWork) -> tuple[list[str], dict[str, Any]]:
        return proof.prove(
            target, work, seed=SEED, before=self.before[work.number], tally=self.moved.tallies[work.label],
            free=allowances.columns(work, self.rules.may_change),
        )  # fmt: skip

    def _elsewhere(self, target: Connection) -> list[str]:
        works, declared, told = self.moved.works, self.rules.may_change, []
        suspects, changed = bystanders.written(
            target, works, self.elsewhere, lambda label: allowances.short(label) in declared
        )
        for label in changed:
            if (short := allowances.short(label)) in declared:
                self.moved.notes.append(f"{label} was written, as declared: {declared[short]}")
            else:
                told.append(f"{label} changed, which the mapping does not name.")
        if suspects:
            with bystanders.as_it_was(target, self.sides.target) as before:
                for table in suspects:
                    was, now = (
                        self.sides.ask(side, partial(digest.digest_table, side, table, SEED))
                        for side in (before, target)
                    )
                    if was != now:
                        told.append(f"{table.label} changed, which the mapping does not name.")
        return told

    def _source_meanwhile(self, source: Connection, step: StepHandle, total: int) -> None:
        """A new snapshot of the source: what was written there since is not in the target."""
        self.sides.ask(source, source.rollback)
        for place, work in enumerate(self.moved.works):
            step.doing(f"Looking whether {work.source.label} changed in the source meanwhile")
            step.progress((total - len(self.moved.works) + place) / total)
            was = work.source_rows, work.source_sum, work.steady_sum, work.rule_rows
            rows, _, checksum, _ = was
            self.sides.ask(source, partial(staging.count, source, work, SEED))
            if (work.source_rows, work.steady_sum) != (rows, checksum):
                told = f"{work.source.label} changed in the source while it was moved: {rows:,} rows then,"
                self.moved.changed_meanwhile.append(f"{told} {work.source_rows:,} now.")
            work.source_rows, work.source_sum, work.steady_sum, work.rule_rows = was
        if self.rules.source_may_change:
            allowed = "The plan allows that; what came later was not moved."
            self.moved.notes += [f"{told} {allowed}" for told in self.moved.changed_meanwhile]
        else:
            self.moved.refusals += self.moved.changed_meanwhile
