"""User data transition, rehearsed: the plan's mapping is carried out, proven and undone on a clone of the target."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from checks.enums import StepCategory
from checks.kinds.base import Artifact, Kind, KindParams, Outcome, RunContext, Step, register
from checks.models import Run
from checks.plan import Command, Duration, Plan
from checks.tools import cloning, originals
from checks.tools.postgres import Address, Connection
from checks.tools.transition import delivering, discretion, report, rights, undo_rehearsal
from checks.tools.transition.declaration import TableMapping, cross_check
from checks.tools.transition.moving import Moved, Mover, Rules


class TransitionParams(KindParams):
    """The mapping, and what a transition keeps to. The check's environment is the target."""

    source: str = Field(max_length=60, description="Environment from which the rows come.")
    tables: list[TableMapping] = Field(min_length=1, max_length=100)
    prepare: Command | None = Field(
        default=None, description="Brings the clone to the release's schema before the dry run, as a deploy would."
    )
    tools: str = Field(
        default="", max_length=60, description="Environment whose variables the prepare command gets besides."
    )
    clone: cloning.Method = Field(
        default="auto", description="auto: as a template where nobody is connected, else by dump and restore."
    )
    visitors_wait: Duration = Field(
        default=timedelta(milliseconds=500),
        description="How long a copy of files may keep new sessions of the original waiting; 0s for never.",
    )
    triggers: Literal["fire", "off"] = Field(
        default="fire", description="off: the tables' own triggers are disabled while rows are moved."
    )
    may_change: dict[str, str] = Field(
        default={}, description="Tables or table.column that triggers write, each with the reason."
    )
    compare: Literal["everything", "moved"] = Field(
        default="everything",
        description="everything: proves that the move wrote no table but those that it names.",
    )
    source_may_change: bool = Field(
        default=False, description="Do not fail when the source is written to while its rows are moved."
    )
    rehearse_undo: bool = Field(default=True, description="Undo on the clone and prove that it is as it was.")
    lock_timeout: Duration = Field(
        default=timedelta(seconds=30), description="How long to wait for a table that somebody holds locked."
    )
    statement_timeout: Duration = Field(
        default=timedelta(minutes=30), description="How long one statement may read from the source."
    )

    @model_validator(mode="after")
    def fits_together(self) -> Self:
        cross_check(self.tables)
        return self

    def rules(self) -> Rules:
        return Rules(
            tables=self.tables,
            triggers=self.triggers,
            may_change={name.removeprefix("public."): why for name, why in self.may_change.items()},
            everything=self.compare == "everything",
            source_may_change=self.source_may_change,
            lock_seconds=self.lock_timeout.total_seconds(),
            statement_seconds=self.statement_timeout.total_seconds(),
        )


MOVING = [
    Step("stage", "Copy the source's rows into staging tables", StepCategory.DATABASE),
    Step("preflight", "Look for conflicts before anything is written", StepCategory.DATABASE),
    Step("move", "Insert and merge in one transaction", StepCategory.DATABASE),
    Step("keep", "Keep what undoing it needs", StepCategory.DATABASE),
    Step("prove", "Prove that nothing was lost or changed", StepCategory.DATABASE),
]


@register
class Transition(Kind):
    """Passed means: on a clone of the target every row arrived as declared, was proven, and could be undone."""

    name: ClassVar[str] = "transition"
    title: ClassVar[str] = "User data transition"
    description: ClassVar[str] = (
        "Moves accounts, progress and preferences by the declared mapping on a clone of the target: names conflicts"
        " before anything is written, proves that every row arrived, and undoes it again."
    )
    Params: ClassVar[type[TransitionParams]] = TransitionParams
    valid_hours: ClassVar[int] = 168

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        return [
            Step("clone", "Clone the target", StepCategory.DATABASE),
            *([Step("prepare", "Bring the clone to the release's schema", StepCategory.DATABASE)] if params.prepare
              else []),
            *MOVING,
            Step("undo", "Undo it on the clone, and compare", StepCategory.DATABASE),
        ]  # fmt: skip

    def run(self, context: RunContext) -> Outcome:
        return _DryRun(context).run()

    def ended(self, run: Run) -> None:
        delivering.open_data_loss(
            run, [*run.result.get("differences", []), *run.result.get("undo", {}).get("differences", [])]
        )

    def problems(self, plan: Plan, params: Any, environment: str) -> list[tuple[tuple[str | int, ...], str]]:
        return problems(plan, params, environment)


def problems(plan: Plan, params: TransitionParams, environment: str) -> list[tuple[tuple[str | int, ...], str]]:
    """What does not fit the rest of the plan: (place within the parameters, sentence)."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    for name in ("source", "tools"):
        value = getattr(params, name)
        if value and value not in plan.environments:
            found.append(((name,), f"there is no environment {value!r}: {', '.join(plan.environments)}"))
    if params.source == environment:
        found.append((("source",), "source and target are one environment"))
    return found


class _DryRun:
    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.params: TransitionParams = context.params
        self.environment = context.run.environment.name
        self.target = Address.parse(context.database_url(), what=f"The database address of {self.environment}")
        self.source = Address.parse(
            context.database_url(self.params.source), what=f"The database address of {self.params.source}"
        )
        self.artifacts: list[Artifact] = []

    def run(self) -> Outcome:
        rights.refuse_same(self.source, self.target, self.params.tables)
        rights.refuse_missing(
            self.target, self.params.tables, triggers_off=self.params.triggers == "off", wait=self.params.lock_timeout
        )
        with ExitStack() as stack:
            clone = self._clone(stack)
            if self.params.prepare is not None:
                self._prepare(clone.address, self.params.prepare)
            before = self._note(clone.address) if self.params.rehearse_undo else None
            began = time.monotonic()
            mover = Mover(
                self.context, self.source, clone.address, self.params.rules(),
                delivering.facts_of(self.context, self.context.run.section),
            )  # fmt: skip
            moved = mover.run(self._keep)
            seconds = time.monotonic() - began
            undone = self._undo(clone.address, moved, before)
        result = report.result_of(moved)
        result |= {
            "columns": discretion.columns(result["columns"], moved.works, self.context.plan.privacy),
            "source": self.params.source,
            "rehearsed": True,
            "undo": undone,
            "clone": {"method": clone.method, "seconds": clone.seconds},
        }
        return self._outcome(moved, result, seconds, undone)

    def _clone(self, stack: ExitStack) -> cloning.Clone:
        with self.context.step("clone") as step:
            clone = stack.enter_context(
                cloning.clone(
                    self.context, self.target, server=self.target, method=self.params.clone,
                    lock_timeout=self.params.lock_timeout, visitors_wait=self.params.visitors_wait,
                )
            )  # fmt: skip
            step.figure("method", clone.method)
            step.figure("seconds", clone.seconds)
        return clone

    def _prepare(self, clone: Address, command: Command) -> None:
        """The plan's command, with every variable that names the target's database naming the clone.

        CheckError when the target itself was changed: then the command found it by another way.
        """
        context, plan = self.context, self.context.plan
        places = [self.environment, *([self.params.tools] if self.params.tools else [])]
        variables: dict[str, str] = {}
        for place in places:
            variables |= context.variables(place)
        known = {context.database_url(place) for place in places}
        url = clone.url()
        variables = {name: url if value in known else value for name, value in variables.items()}
        variables |= {plan.environment(place).database: url for place in places}
        with context.step("prepare"):
            noted = originals.note(context, self.target)
            try:
                context.command(
                    command.arguments, timeout=command.timeout.total_seconds(), variables=variables | command.variables
                )
            finally:
                # A command that broke off may have changed it as well, and that is worse than breaking off.
                originals.refuse_touched(context, self.target, noted, "prepare")

    def _note(self, clone: Address) -> dict[str, Any]:
        return undo_rehearsal.note(self.context, clone, self.params.rules().may_change)

    def _keep(self, connection: Connection, moved: Moved) -> None:
        self.artifacts += report.keep_rows(self.context, connection, moved)

    def _undo(self, clone: Address, moved: Moved, before: Mapping[str, Any] | None) -> dict[str, Any]:
        with self.context.step("undo") as step:
            if not moved.committed or before is None:
                reason = "the plan does not ask for it" if moved.committed else "nothing was moved"
                step.skip(reason)
                return {"done": False, "why": reason, "differences": []}
            found = undo_rehearsal.rehearse(
                self.context, clone, self.context.run.section, before, self.params.triggers,
                self.params.rules().may_change,
            )  # fmt: skip
            if found["differences"]:
                step.fail(found["differences"][0])
            return found

    def _outcome(self, moved: Moved, result: dict[str, Any], seconds: float, undone: Mapping[str, Any]) -> Outcome:
        self.artifacts += report.keep_report(self.context, result)
        summary = report.summary_of(moved, rehearsed=True)
        if moved.committed and undone["differences"]:
            summary = f"It could not be undone: {undone['differences'][0]}"[:500]
        passed = moved.committed and not undone["differences"]
        figures = report.figures_of(moved, seconds)
        return Outcome(passed, summary, figures=figures, result=result, artifacts=self.artifacts)
