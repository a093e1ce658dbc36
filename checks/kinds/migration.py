"""Rehearse the database migration of a release on a clone of the real database."""

import secrets
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, ClassVar

from checks.enums import StepCategory
from checks.errors import CheckError
from checks.kinds.base import Completed, Kind, Outcome, RunContext, Step, StepHandle, register
from checks.plan import Command, Plan
from checks.tools import (
    attribution,
    cloning,
    hypotheses,
    idleness,
    leading,
    limits,
    migration_report,
    mishaps,
    originals,
    predicting,
    rehearsal,
    staging_clone,
    tracing,
    watching,
    way_back,
)
from checks.tools.attribution import Account
from checks.tools.background import patiently
from checks.tools.masked_copy import Limits
from checks.tools.migration_params import MigrationParams
from checks.tools.postgres import Address, connected, version_name
from checks.tools.rehearsal import Change, State


@register
class Migration(Kind):
    """Passed means: it ran to its end on a clone, within the plan's limits, and the original was not touched."""

    name: ClassVar[str] = "migration"
    title: ClassVar[str] = "Migration rehearsal"
    description: ClassVar[str] = (
        "Clones the environment's database, runs the release's migrate command on the clone, and reports durations,"
        " locks, how long users would wait, rewritten tables, changed rows and schema, and what cannot be reversed."
    )
    Params: ClassVar[type[MigrationParams]] = MigrationParams
    needs_release: ClassVar[bool] = True
    valid_hours: ClassVar[int] = 168

    def problems(self, plan: Plan, params: Any, environment: str) -> list[tuple[tuple[str | int, ...], str]]:
        known = ", ".join(plan.environments)
        found: list[tuple[tuple[str | int, ...], str]] = [
            ((name,), f"there is no environment {value!r}: {known}")
            for name in ("tools", "clone_on", "scale_to")
            if (value := getattr(params, name)) and value not in plan.environments
        ]
        if staging_clone.is_masked(plan, params.clone_on) and not plan.privacy.inventory:
            said = f"needs privacy.inventory: what is cloned to {params.clone_on} is masked, and nothing says how"
            found.append((("clone_on",), said))
        known_names = {name for place in plan.environments.values() for name in {**place.variables, **place.secrets}}
        strange = [name for name in params.may_reach if name not in known_names]
        found += [(("may_reach",), f"no environment has the variable {name}") for name in strange]
        return found

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        masked = staging_clone.is_masked(plan, params.clone_on)
        return [
            *(staging_clone.STEPS if masked else [Step("clone", "Clone the database", StepCategory.DATABASE)]),
            Step("before", "Note what is in it", StepCategory.DATABASE),
            Step("migrate", "Run the migrations on the clone", StepCategory.DATABASE),
            Step("after", "Note what changed", StepCategory.DATABASE),
            Step("hypotheses", "Compare with what a linter fears"),
            Step("reversible", "Ask what can be reversed", StepCategory.DATABASE),
            Step("back", "Go back and compare", StepCategory.DATABASE),
            Step("judge", "Judge against the plan's limits"),
        ]

    def run(self, context: RunContext) -> Outcome:
        return _Rehearsal(context).run()


class _Rehearsal:
    """One rehearsal, from the clone to the verdict."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.params: MigrationParams = context.params
        self.environment = context.run.environment.name
        self.source = Address.parse(context.database_url(), what=f"The database address of {self.environment}")
        server = context.database_url(self.params.clone_on) if self.params.clone_on else self.source.url()
        self.server = Address.parse(server, what=f"The database address of {self.params.clone_on}")
        self.seed = secrets.randbits(62)
        self.result: dict[str, Any] = {}
        self.trace = tracing.Trace()
        self.unlinted = ""

    def run(self) -> Outcome:
        with ExitStack() as stack:
            self._variables(self.source, self.params.command)  # what it refuses it refuses before anything is done
            clone = self._clone(stack)
            with self.context.step("before") as step:
                before = self._observe(clone.address, step)
                original = originals.note(self.context, self.source)
                production = self._production()
            watched = self._migrate(clone.address, before)
            done = watched.done
            with self.context.step("after") as step:
                after = self._observe(clone.address, step, before)
                originals.refuse_touched(self.context, self.source, original, "migrate")
                idleness.refuse_elsewhere(self.trace, clone.address)
            change = rehearsal.change(before, after)
            if not watched.trace.visited and not change.anything:
                raise CheckError(
                    "The migrate command never connected to the clone, so nothing was rehearsed.",
                    remedy=f"Let it take its database from the variable"
                    f" {self.context.plan.environment(self.environment).database}.",
                )
            mishap = self._mishap(done, change)
            if mishap is None and not done.timed_out:
                idleness.refuse(self.trace, clone.address, after, change, self.params.may_change_nothing)
            account = attribution.account(self.trace, watched.observed(self.context), before, after, change)
            factors = predicting.factors(production, before)
            largest = predicting.predict(account.migrations, account.stalls, factors)
            with originals.untouched(self.context, self.source, original, self._later_commands()):
                self._hypotheses(clone.address, account, before, change)
                known = self._reversible(clone.address)
                broke_off = done.timed_out or mishap is not None
                back = self._go_back(clone.address, before, change, known, broke_off=broke_off)
        report = migration_report.Report(
            clone, before, after, change, account, watched, self.trace, back, mishap, factors, largest,
            production.environment, self.params.compare_data, self.params.reverse is not None, self.unlinted,
        )  # fmt: skip
        return self._judge(report, known)

    # --- before -------------------------------------------------------------------------------------------------------

    def _clone(self, stack: ExitStack) -> cloning.Clone:
        params = self.params
        if staging_clone.is_masked(self.context.plan, params.clone_on):
            return stack.enter_context(self._masked())
        with self.context.step("clone") as step:
            step.doing(f"Cloning {self.source.database}")
            clone = stack.enter_context(
                cloning.clone(
                    self.context,
                    self.source,
                    server=self.server,
                    method=params.clone,
                    lock_timeout=params.lock_timeout,
                    visitors_wait=params.visitors_wait,
                )
            )
            step.figure("method", clone.method)
            step.figure("seconds", clone.seconds)
        return clone

    def _masked(self) -> AbstractContextManager[cloning.Clone]:
        params = self.params
        within = Limits(
            proof=params.proof_timeout, lock=params.lock_timeout, visitors_wait=params.visitors_wait,
            method=params.clone,
        )  # fmt: skip
        return staging_clone.staging_clone(
            self.context, self.source, server=self.server, place=params.clone_on, limits=within
        )

    def _observe(self, address: Address, step: StepHandle, before: State | None = None) -> State:
        keys = {name: content.key for name, content in before.content.items()} if before is not None else None

        seen: list[tuple[str, int, int]] = []

        def tell() -> None:
            if seen:
                name, done, tables = seen[-1]
                step.doing(name)
                step.progress(done, tables, "tables")

        with connected(address, what="the clone") as connection:
            return patiently(
                self.context,
                connection,
                lambda: rehearsal.observe(
                    connection,
                    seed=self.seed,
                    values=self.params.compare_data,
                    keys=keys,
                    note=lambda *noted: seen.append(noted),
                ),
                tell,
            )

    def _production(self) -> predicting.Sizes:
        """How large the tables are where the migration will run for real."""
        name = self.params.scale_to or self.environment
        address = Address.parse(self.context.database_url(name), what=f"The database address of {name}")
        with connected(address, what=f"the database of {name}") as connection:
            return predicting.sizes(connection, name)

    # --- the command --------------------------------------------------------------------------------------------------

    def _variables(self, address: Address, command: Command) -> dict[str, str]:
        """The command's variables. What leads to the original's database leads to the clone, and nothing elsewhere."""
        context, plan = self.context, self.context.plan
        places = [self.environment, *([self.params.tools] if self.params.tools else [])]
        variables: dict[str, str] = {}
        for place in places:
            variables |= context.variables(place)
        known = [
            Address.parse(context.database_url(place), what=f"The database address of {place}") for place in places
        ]
        variables |= {plan.environment(place).database: address.url() for place in places}
        return leading.to_clone(variables | command.variables, known, address, self.params.may_reach)

    def _run_traced(self, address: Address, command: Command, file: Path, step: StepHandle, word: str) -> Completed:
        """``word``: what is done with each migration, as the page says it."""
        following = tracing.Following(file)

        def tell() -> None:
            stage = following.look()
            if stage is not None:
                if stage.migration:
                    step.doing(f"{word} {stage.migration}")
                if stage.planned:
                    step.progress(stage.done, stage.planned, "migrations")

        variables = self._variables(address, command)
        return self.context.command(
            command.arguments,
            timeout=command.timeout.total_seconds(),
            variables=variables | tracing.variables(file, variables),
            check=False,
            meanwhile=tell,
        )

    def _migrate(self, address: Address, before: State) -> watching.Watched:
        file = self.context.scratch / "trace.jsonl"
        with self.context.step("migrate") as step:
            step.doing("Running the migrate command on the clone")
            watched = watching.watch(
                self.context,
                address,
                before,
                self.params.sample_every.total_seconds(),
                lambda: self._run_traced(address, self.params.command, file, step, "Applying"),
            )
            self.trace = tracing.read(file)
            step.figure("seconds", round(watched.done.seconds, 1))
            if watched.done.returncode != 0:
                step.fail(f"exit status {watched.done.returncode}")
            elif self.trace.broken is not None:
                step.fail(f"{self.trace.broken.name} broke off, and the command ended with exit status 0")
        return watched

    def _mishap(self, done: Completed, change: Change) -> mishaps.Mishap | None:
        """Why the command broke off; CheckError where its surroundings did.

        A script may hide it (`migrate | tee log`, `migrate || true`): what the wrapper saw counts beside its status.
        """
        if done.timed_out or (done.returncode == 0 and self.trace.broken is None):
            return None
        mishap = mishaps.explain(self.trace, done.returncode, watching.last_lines(self.context), change)
        if mishap.is_the_server_s:
            raise CheckError(f"{mishap.sentence} The clone was dropped.", remedy=mishap.remedy)
        return mishap

    # --- afterwards ---------------------------------------------------------------------------------------------------

    def _later_commands(self) -> str:
        """The plan's words for what it lets run after the migrate command; "" for nothing."""
        words = ("sql", "reversible_check", "reverse")
        return " or ".join(word for word in words if getattr(self.params, word) is not None)

    def _hypotheses(self, address: Address, account: Account, before: State, change: Change) -> None:
        """What squawk fears, beside what happened. A missing squawk is told, never taken for silence."""
        scripts = {each.name: each.sql for each in self.trace.forwards if each.sql}
        command = self.params.sql
        with self.context.step("hypotheses") as step:
            if command is not None:
                variables = self._variables(address, command)
                done = self.context.capture(
                    command.arguments, timeout=command.timeout.total_seconds(), variables=variables
                )
                scripts = {"": done.output}
            with connected(address, what="the clone") as connection:
                version = version_name(connection.info.server_version)
            found = hypotheses.ask(self.context, scripts, version)
            self.result["linted"] = len(scripts)
            self.result["not_linted"] = {each.name: each.sql_failure for each in self.trace.forwards if not each.sql}
            if found is None:
                self.result["hypotheses"] = None
                self.unlinted = hypotheses.missing(len(scripts))
                self.context.warn(self.unlinted)
                step.skip("squawk is not installed on this worker")
                return
            self.result["hypotheses"] = hypotheses.judge(found, account, before, change, self.trace)
            step.figure("warnings", len(found))
            if not scripts:
                step.skip("there was no SQL to look at")

    def _reversible(self, address: Address) -> list[str] | None:
        """What Django and the plan's own check say; None when nobody was asked, so nothing is called reversible."""
        command = self.params.reversible_check
        names = [each.name for each in self.trace.forwards if each.irreversible]
        with self.context.step("reversible") as step:
            if command is not None:
                done = self.context.capture(
                    command.arguments,
                    timeout=command.timeout.total_seconds(),
                    variables=self._variables(address, command),
                )
                if done.returncode != 0:
                    raise CheckError(f"The reversible_check ended with exit status {done.returncode}.")
                said = [line.strip() for line in done.output.splitlines() if line.strip()]
                names += [name for name in said if name not in names]
            elif not self.trace.forwards:
                step.skip("the plan names no reversible_check, and no Django migration was seen")
                return None
            for problem in limits.of_irreversible(names, self.params.limits()):
                step.fail(problem)
        return names

    def _go_back(
        self, address: Address, before: State, change: Change, known: list[str] | None, *, broke_off: bool
    ) -> dict[str, Any] | None:
        command = self.params.reverse
        with self.context.step("back") as step:
            if command is None:
                step.skip("the plan names no command that goes back")
                return None
            if broke_off or not change.anything:
                step.skip("the migrations did not run to their end" if broke_off else "there is nothing to undo")
                return None
            applied = self.context.scratch / "applied.txt"
            applied.write_text("".join(f"{migration.name}\n" for migration in change.migrations), encoding="utf-8")
            command = command.model_copy(update={"variables": {**command.variables, "GONOGO_APPLIED": str(applied)}})
            step.doing("Going back")
            file = self.context.scratch / "trace-back.jsonl"
            gone = self._run_traced(address, command, file, step, "Taking back")
            trace = tracing.read(file)
            idleness.refuse_elsewhere(trace, address)
            now = self._observe(address, step, before)
            back = way_back.result(gone, trace, before, now, change, known or [], self.trace.written_down())
            for problem in limits.of_way_back(back, self.params.limits()):
                step.fail(problem)
        return back

    def _is_unknown(self, report: migration_report.Report, known: list[str] | None) -> bool:
        """Whether something changed of which nobody knows the way back: neither asked for, nor gone and compared."""
        change, back = report.change, report.back
        if report.broke_off() or (back is not None and back["compared"]):
            return False
        if known is None:
            return bool(change.schema or change.migrations)
        # Without a check of the plan's own, only what the wrapper saw is known.
        seen = {each.name for each in self.trace.forwards} | self.trace.written_down()
        others = any(each.name not in seen for each in change.migrations)
        strayed = bool(change.schema) and self.trace.strayed(report.before.shape, report.after.shape)
        return self.params.reversible_check is None and (others or strayed)

    def _judge(self, report: migration_report.Report, known: list[str] | None) -> Outcome:
        bounds = self.params.limits()
        unknown = self._is_unknown(report, known)
        with self.context.step("judge") as step:
            told = [
                *report.broke_off(),
                *limits.of_times(report.account, report.seconds, report.predicted, bounds),
                *limits.of_rewrites(report.change, report.factors, bounds),
                *limits.of_indexes(report.change),
                *limits.of_irreversible(known or [], bounds),
                *limits.of_unknown(unknown, bounds),
                *limits.of_way_back(report.back, bounds),
                *limits.of_data(report.unexplained),
            ]
            step.figure("seconds", round(report.seconds, 2))
            if told:
                step.fail(told[0][:500])
            unsaid = {"unknown": unknown, "waived": bounds.waived.get(limits.COMMAND, "")}
            self.result |= report.result(known, bounds) | {"problems": told, "way_back": unsaid}
            artifacts = report.files(self.context, self.result, known)
        kept = migration_report.shortened(self.result)
        return Outcome(not told, report.summary(told), report.figures(known), kept, artifacts)
