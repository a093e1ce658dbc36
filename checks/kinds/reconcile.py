"""Reconcile: prove that two databases agree, or name each row that differs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self

from django.db import transaction
from pydantic import Field, field_validator, model_validator

from checks.enums import StepCategory
from checks.errors import CheckError
from checks.kinds.base import Artifact, Kind, KindParams, Outcome, RunContext, Step, StepHandle, register
from checks.models import Run
from checks.plan import Duration, Plan
from checks.tools import storage
from checks.tools.postgres import Address
from checks.tools.reconciling import PHASES, Comparison, Options, Tally, compare, normalising, report
from releases.templatetags.interface_format import duration

MAX_NAMES = 500


class ReconcileParams(KindParams):
    """Tables are named schema.table, table, or by a pattern with * and ?."""

    source: str = Field(
        default="", max_length=60,
        description="Environment whose database says what should be there; empty for this check's own.",
    )  # fmt: skip
    target: str = Field(
        default="", max_length=60, description="Environment whose database is judged; empty for this check's own."
    )
    source_database: str = Field(
        default="", max_length=100,
        description="Variable of the source's environment that holds the address; empty for its database.",
    )  # fmt: skip
    target_database: str = Field(
        default="", max_length=100,
        description="Variable of the target's environment that holds the address; empty for its database.",
    )  # fmt: skip
    mode: Literal["identical", "equivalent"] = Field(
        default="identical",
        description="identical: to the last bit. equivalent: normalised values, the schema and positions of sequences"
        " that are further on may differ.",
    )
    tables: list[str] = Field(default=[], max_length=MAX_NAMES, description="Only these tables; empty for all.")
    leave_out: list[str] = Field(default=[], max_length=MAX_NAMES, description="Not these tables.")
    columns: dict[str, list[str]] = Field(default={}, description="Of a table only these columns.")
    ignore_columns: dict[str, list[str]] = Field(default={}, description="Of a table not these columns.")
    keys: dict[str, list[str]] = Field(
        default={}, description="What tells the rows of a table apart, where the database has no such key."
    )
    normalise: dict[str, dict[str, list[str]]] = Field(
        default={}, description="Table, column, and what of its values does not matter (mode equivalent)."
    )
    hide: list[str] = Field(
        default=[], max_length=MAX_NAMES, description="Columns whose values are not shown, besides those of secrets."
    )
    show: list[str] = Field(
        default=[], max_length=MAX_NAMES, description="Columns that are shown although their names sound secret."
    )
    compare_schema: bool = Field(default=True, description="Also compare tables, columns, constraints and functions.")
    compare_sequences: bool = Field(default=True, description="Also compare where sequences stand.")
    compare_large_objects: bool = Field(default=True, description="Also compare large objects.")
    workers: int = Field(default=2, ge=1, le=16, description="Sessions on each side at once.")
    details: int = Field(
        default=200, ge=0, le=10_000, description="So many differences of each sort are told for each table; all count."
    )
    lock_timeout: Duration = Field(default=timedelta(seconds=30), description="How long to wait for a locked table.")

    @field_validator("normalise")
    @classmethod
    def known_normalisers(cls, value: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
        for columns in value.values():
            for names in columns.values():
                normalising.refuse_unknown(names)
        return value

    @model_validator(mode="after")
    def normalises_only_when_equivalent(self) -> Self:
        if self.normalise and self.mode != "equivalent":
            raise ValueError("normalise needs mode: equivalent; in the mode identical nothing is overlooked")
        return self


@register
class Reconcile(Kind):
    """Passed means: every selected row of one database is in the other, and equal."""

    name: ClassVar[str] = "reconcile"
    title: ClassVar[str] = "Reconciliation"
    description: ClassVar[str] = (
        "Reads every row of two databases of the plan, in one snapshot each, and names each row, column, sequence and"
        " object that differs, with both values."
    )
    Params: ClassVar[type[ReconcileParams]] = ReconcileParams
    valid_hours: ClassVar[int] = 24

    def problems(self, plan: Plan, params: Any, environment: str) -> list[tuple[tuple[str | int, ...], str]]:
        known = ", ".join(plan.environments)
        found: list[tuple[tuple[str | int, ...], str]] = [
            ((name,), f"there is no environment {value!r}: {known}")
            for name, value in (("source", params.source), ("target", params.target))
            if value and value not in plan.environments
        ]
        sides = [(params.source or environment, params.source_database),
                 (params.target or environment, params.target_database)]  # fmt: skip
        if not found and sides[0] == sides[1]:
            found.append((("source",), "source and target are one database; name another environment or variable"))
        return found

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        return [*(Step(key, title, StepCategory.DATABASE) for key, title in PHASES.items()),
                Step("report", "Write down what differs")]  # fmt: skip

    def run(self, context: RunContext) -> Outcome:
        return _Reconciling(context).run()

    def ended(self, run: Run) -> None:
        folder = _shelf(run)
        transaction.on_commit(lambda: _clear(folder), robust=True)


class _Reconciling:
    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.params: ReconcileParams = context.params
        own = context.run.environment.name
        self.names = (self.params.source or own, self.params.target or own)
        self._step: StepHandle | None = None

    def run(self) -> Outcome:
        source, target = (
            self._address(name, variable)
            for name, variable in zip(
                self.names, (self.params.source_database, self.params.target_database), strict=True
            )
        )
        found = compare(
            source, target, self._options(), seen=self._seen, check=self.context.check, phase=self._phase,
            keeper=_Shelf(self.context),
        )  # fmt: skip
        if not found.rows and not any(table.target_rows for table in found.counted):
            raise CheckError(
                f"There is no row in any of the {len(found.tables)} tables, on either side.",
                remedy="Nothing was compared, which is no pass. Look whether these are the right databases.",
            )
        with self.context.step("report") as step:
            told = sentences(found)
            for sentence in told:
                self.context.warn(sentence)
            if told:
                step.fail(f"{len(told)} difference(s)" if len(told) > 1 else told[0])
            artifacts = self._files(found)
        return Outcome(
            found.agrees, self._summary(found, told), figures=_figures(found), artifacts=artifacts,
            result={**report.as_result(found), "names": list(self.names), "sentences": told[:100],
                    "details": self.params.details},
        )  # fmt: skip

    def _address(self, environment: str, variable: str) -> Address:
        what = f"The database address of {environment}"
        if not variable:
            return Address.parse(self.context.database_url(environment), what=what)
        value = self.context.variables(environment).get(variable, "")
        if not value:
            raise CheckError(
                f"The environment {environment} has no variable {variable}.",
                remedy=f"Name {variable} in its variables or secrets: postgresql://user:password@host:port/database",
            )
        return Address.parse(value, what=f"{variable} of {environment}")

    def _options(self) -> Options:
        params = self.params
        return Options(
            mode=params.mode, tables=params.tables, leave_out=params.leave_out, columns=params.columns,
            ignore_columns=params.ignore_columns, keys=params.keys, normalise=params.normalise, hide=params.hide,
            show=params.show, schema=params.compare_schema, sequences=params.compare_sequences,
            large_objects=params.compare_large_objects, workers=params.workers, details=params.details,
            lock_seconds=params.lock_timeout.total_seconds(), scratch=self.context.scratch,
        )  # fmt: skip

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        with self.context.step(name) as step:
            self._step = step
            try:
                yield
            finally:
                self._step = None

    def _seen(self, tally: Tally) -> None:
        if self._step is None:
            return
        rows = f", {tally.rows:,} of about {tally.total:,} rows" if tally.total else ""
        self._step.doing(f"{tally.doing}{rows}")
        if tally.total:
            self._step.progress(tally.rows, tally.total, "rows")

    def _files(self, found: Comparison) -> Sequence[Artifact]:
        artifacts = []
        writers = {
            "tables.csv": report.write_tables,
            "differences.csv": report.write_csv,
            "differences.json": report.write_json,
        }
        for name, write in writers.items():
            path = self.context.scratch / name
            write(found, path)
            artifacts.append(self.context.store(name, path))
            path.unlink()
        return artifacts

    def _summary(self, found: Comparison, told: Sequence[str]) -> str:
        source, target = self.names
        if found.agrees:
            word = "identical" if found.mode == "identical" else "equivalent"
            return (
                f"{found.rows:,} rows in {found.compared:,} tables of {source} and {target} are {word},"
                f" read in {duration(found.seconds)}. {found.not_compared}".rstrip()
            )
        more = f" (and {len(told) - 1:,} more)" if len(told) > 1 else ""
        return f"{target} differs from {source}: {told[0]}{more}"[:500]


def _shelf(run: Run) -> str:
    """The folder in storage of what one attempt leaves for the next."""
    return f"runs/{run.pk}/resume"


def _clear(folder: str) -> None:
    for name in storage.names(folder):
        storage.remove(f"{folder}/{name}")


class _Shelf:
    """Results on their way, kept in storage; without them a lost run begins anew, so no failure here ends it."""

    def __init__(self, context: RunContext) -> None:
        self.context, self.folder = context, _shelf(context.run)
        self.kept = ""
        self.count = 0

    def load(self) -> Iterator[bytes]:
        """What earlier attempts kept, the newest first."""
        try:
            for name in reversed(storage.names(self.folder)):
                with storage.opened(f"{self.folder}/{name}") as source:
                    yield source.read()
        except CheckError as error:
            self.context.warn(f"What the attempt before this one kept cannot be read, so it begins anew. {error}")

    def keep(self, document: bytes) -> None:
        if self.count < 0:
            return
        self.count += 1
        key = f"{self.folder}/{self.context.run.attempt:04}-{self.count:06}.json"
        try:
            storage.write(key, [document])
        except CheckError as error:
            self.context.warn(f"If this worker dies, the comparison begins anew: {error}")
            self.count = -1
            return
        if self.kept:
            storage.remove(self.kept)
        self.kept = key


def _figures(found: Comparison) -> dict[str, Any]:
    return {
        "rows": found.rows,
        "tables": found.compared,
        "missing": found.total("missing"),
        "extra": found.total("extra"),
        "changed": found.total("changed"),
        "schema_differences": sum(len(names) for names in found.schema.values()) + len(found.extensions),
        "sequence_differences": len(found.sequences),
        "seconds": found.seconds,
    }


def sentences(found: Comparison) -> list[str]:
    """One for each table, sequence and sort of object that makes the two disagree."""
    told = [_sentence(table) for table in found.counted if not table.agrees]
    told += [
        f"Sequence {item.name} {item.said}: {_position(item.source)} in the source, {_position(item.target)} in the"
        " target."
        for item in found.sequences
    ]
    if found.schema_differs and found.mode == "identical":
        for sort, names in found.schema.items():
            if names:
                more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
                told.append(f"Schema, {sort} in the target: {', '.join(names[:5])}{more}.")
        told += found.extensions
    return told


def _sentence(table: Any) -> str:
    if table.only_in:
        rows = max(table.source_rows, table.target_rows)
        return f"{table.label}, {rows:,} rows, is only in the {table.only_in}."
    counts = [f"{getattr(table, sort):,} {sort}" for sort in ("missing", "extra", "changed") if getattr(table, sort)]
    rows = [f"{table.label}: {', '.join(counts)} of {table.source_rows:,} rows."] if counts else [f"{table.label}:"]
    return " ".join([*rows, *([] if table.tolerated else table.notes)])


def _position(position: int | None) -> str:
    return "none" if position is None else str(position)
