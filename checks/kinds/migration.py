"""Rehearse the database migration of a release on a clone of the real database."""

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from checks.enums import StepCategory
from checks.errors import CheckError
from checks.kinds.base import Completed, Kind, KindParams, Outcome, RunContext, Step, register
from checks.models import LogChunk
from checks.plan import Command, Duration, Plan
from checks.tools import cloning, locks, rehearsal, schema
from checks.tools.background import patiently
from checks.tools.postgres import Address, connected
from checks.tools.rehearsal import Change, State
from releases.templatetags.interface_format import duration

MAX_LOCKS = 200
MAX_DRAWN = 30
MAX_OBJECTS = 500


class MigrationParams(KindParams):
    command: Command = Field(description="What migrates: it finds the clone in the environment's database variable.")
    tools: str = Field(
        default="",
        max_length=60,
        description="Environment whose variables the command gets besides, such as the folder of its tools.",
    )
    clone: cloning.Method = Field(
        default="auto", description="auto: as a template where nobody is connected, else by dump and restore."
    )
    clone_on: str = Field(
        default="",
        max_length=60,
        description="Environment on whose database server the clone is made; empty for the same server.",
    )
    reversible_check: Command | None = Field(
        default=None, description="Prints each migration that cannot be reversed, one a line; nothing when all can."
    )
    longest_lock: Duration = Field(
        default=timedelta(seconds=10), description="How long a lock may keep others from a table."
    )
    longest: Duration = Field(default=timedelta(minutes=30), description="How long all migrations together may take.")
    rewrite_rows: int = Field(default=1_000_000, ge=0, description="A table with more rows may not be rewritten.")
    refuse_irreversible: bool = Field(default=False, description="Fail when a migration cannot be reversed.")
    sample_every: Duration = Field(default=timedelta(milliseconds=15), description="How often locks are looked at.")
    lock_timeout: Duration = Field(
        default=timedelta(seconds=30), description="How long cloning waits for a table that somebody holds locked."
    )


@register
class Migration(Kind):
    """Passed means: it ran to its end on a clone, within the plan's limits, and the original was not touched."""

    name: ClassVar[str] = "migration"
    title: ClassVar[str] = "Migration rehearsal"
    description: ClassVar[str] = (
        "Clones the environment's database, runs the release's migrate command on the clone, and reports durations,"
        " locks, rewritten tables, changed rows and schema, and what cannot be reversed."
    )
    Params: ClassVar[type[MigrationParams]] = MigrationParams
    needs_release: ClassVar[bool] = True
    valid_hours: ClassVar[int] = 168

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        return [
            Step("clone", "Clone the database", StepCategory.DATABASE),
            Step("before", "Note what is in it", StepCategory.DATABASE),
            Step("migrate", "Run the migrations on the clone", StepCategory.DATABASE),
            Step("after", "Note what changed", StepCategory.DATABASE),
            Step("reversible", "Ask what can be reversed", StepCategory.DATABASE),
            Step("judge", "Judge against the plan's limits"),
        ]

    def run(self, context: RunContext) -> Outcome:
        return _Rehearsal(context).run()


class _Rehearsal:
    """One rehearsal. ``told`` collects a sentence for each reason to say no."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.params: MigrationParams = context.params
        self.environment = context.run.environment.name
        self.source = Address.parse(context.database_url(), what=f"The database address of {self.environment}")
        server = context.database_url(self.params.clone_on) if self.params.clone_on else self.source.url()
        self.server = Address.parse(server, what=f"The database address of {self.params.clone_on}")
        self.told: list[str] = []
        self.result: dict[str, Any] = {}
        self.took = 0.0

    def run(self) -> Outcome:
        with ExitStack() as stack:
            clone = self._clone(stack)
            with self.context.step("before"):
                before = self._observe(clone.address)
                original = self._original()
            done, trace = self._migrate(clone.address)
            with self.context.step("after"):
                after = self._observe(clone.address)
                self._refuse_touched_original(original)
            change = rehearsal.change(before, after)
            if not trace.visited and not change.anything:
                raise CheckError(
                    "The migrate command never connected to the clone, so nothing was rehearsed.",
                    remedy=f"Let it take its database from the variable"
                    f" {self.context.plan.environment(self.environment).database}.",
                )
            self._reversible(clone.address)
            self._judge(clone, before, change, done, trace)
        return self._outcome(change, done)

    def _clone(self, stack: ExitStack) -> cloning.Clone:
        params = self.params
        with self.context.step("clone") as step:
            step.doing(f"Cloning {self.source.database}")
            clone = stack.enter_context(
                cloning.clone(
                    self.context, self.source, server=self.server, method=params.clone, lock_timeout=params.lock_timeout
                )
            )
            step.figure("method", clone.method)
            step.figure("seconds", clone.seconds)
        return clone

    def _observe(self, address: Address) -> State:
        with connected(address, what="the clone") as connection:
            return patiently(self.context, connection, lambda: rehearsal.observe(connection))

    def _original(self) -> tuple[Mapping[str, str], list[str]]:
        """Schema and migrations of the database that must stay as it is."""
        with connected(self.source, what="the original database") as connection:
            objects = patiently(self.context, connection, lambda: schema.schema_objects(connection))
            return objects, [migration.name for migration in rehearsal.applied(connection)]

    def _refuse_touched_original(self, before: tuple[Mapping[str, str], list[str]]) -> None:
        if self._original() != before:
            raise CheckError(
                f"The schema of {self.source.database} itself changed during the rehearsal.",
                remedy="Either the migrate command ran on it instead of the clone, or somebody migrated it meanwhile."
                " Find out which before anything else.",
            )

    def _variables(self, address: Address, command: Command) -> dict[str, str]:
        """The command's variables. Whatever named the original's database names the clone, in every variable."""
        context, plan = self.context, self.context.plan
        places = [self.environment, *([self.params.tools] if self.params.tools else [])]
        variables: dict[str, str] = {}
        for place in places:
            variables |= context.variables(place)
        originals = {context.database_url(place) for place in places}
        url = address.url()
        variables = {name: url if value in originals else value for name, value in variables.items()}
        variables |= {plan.environment(place).database: url for place in places}
        return variables | command.variables

    def _migrate(self, address: Address) -> tuple[Completed, locks.LockTrace]:
        context, command = self.context, self.params.command
        with context.step("migrate") as step:
            step.doing("Running the migrate command on the clone")
            with locks.LockTrace(address, self.params.sample_every.total_seconds()) as trace:
                done = context.command(
                    command.arguments,
                    timeout=command.timeout.total_seconds(),
                    variables=self._variables(address, command),
                    check=False,
                )
            if trace.failure is not None:
                raise CheckError(
                    f"The locks could not be watched to the end: {trace.failure}",
                    remedy="Nothing is said of locks by half. Run it again.",
                )
            step.figure("seconds", round(done.seconds, 1))
            if done.returncode in (126, 127):
                raise CheckError(
                    f"The migrate command could not be executed (exit status {done.returncode}); the log says why.",
                    remedy="Correct the command in the plan, or install what it needs on the worker.",
                )
            if done.returncode != 0:
                step.fail(f"exit status {done.returncode}")
        return done, trace

    def _reversible(self, address: Address) -> None:
        """What the plan's own check says; nothing is called reversible that nobody checked."""
        command = self.params.reversible_check
        with self.context.step("reversible") as step:
            if command is None:
                self.result |= {"reversible_checked": False, "irreversible": []}
                step.skip("the plan names no reversible_check")
                return
            done = self.context.capture(
                command.arguments,
                timeout=command.timeout.total_seconds(),
                variables=self._variables(address, command),
            )
            if done.returncode != 0:
                raise CheckError(f"The reversible_check ended with exit status {done.returncode}.")
            names = [line.strip() for line in done.output.splitlines() if line.strip()]
            self.result |= {"reversible_checked": True, "irreversible": names}
            if names and self.params.refuse_irreversible:
                self.told.append(f"{len(names)} migration(s) cannot be reversed: {', '.join(names[:5])}.")
                step.fail(self.told[-1])

    def _judge(
        self, clone: cloning.Clone, before: State, change: Change, done: Completed, trace: locks.LockTrace
    ) -> None:
        with self.context.step("judge") as step:
            migrations = rehearsal.durations(change.migrations, self._began(trace))
            held = locks.by_table(trace.held, before.owners | before.tables, trace.interval)
            for row in held:
                row["migration"] = rehearsal.under_way(migrations, row["began"], row["seconds"])
            # The command may install and load things first; where Django tells the times, only migrating counts.
            known = bool(migrations) and migrations[0]["began"] is not None
            self.took = migrations[-1]["ended"] - migrations[0]["began"] if known else done.seconds
            step.figure("seconds", round(self.took, 2))
            self._keep(clone, change, done, trace, migrations, held)
            self._say(change, done, held)
            if self.told:
                step.fail(self.told[0])

    def _keep(
        self,
        clone: cloning.Clone,
        change: Change,
        done: Completed,
        trace: locks.LockTrace,
        migrations: list[dict[str, Any]],
        held: list[dict[str, Any]],
    ) -> None:
        self.result |= {
            "clone": {"method": clone.method, "why": clone.why, "seconds": clone.seconds},
            "exit_status": done.returncode,
            "timed_out": done.timed_out,
            "migrations": migrations,
            "locks": held[:MAX_LOCKS],
            "timeline": rehearsal.timeline(migrations, held[:MAX_DRAWN]),
            "locks_left_out": max(0, len(held) - MAX_LOCKS),
            "samples": trace.samples,
            "sample_seconds": trace.interval,
            "longest_gap_seconds": round(trace.longest_gap, 3),
            "rewrites": change.rewrites,
            "rebuilt_indexes": change.rebuilt_indexes,
            "rows": change.rows,
            "schema": change.schema[:MAX_OBJECTS],
            "schema_left_out": max(0, len(change.schema) - MAX_OBJECTS),
            "invalid_indexes": change.invalid,
            "unapplied": change.unapplied,
            "size_before": change.size_before,
            "size_after": change.size_after,
            "limits": {
                "longest_lock": self.params.longest_lock.total_seconds(),
                "longest": self.params.longest.total_seconds(),
                "rewrite_rows": self.params.rewrite_rows,
            },
        }

    def _began(self, trace: locks.LockTrace) -> datetime | None:
        """When Django says "Running migrations"; where it does not, when the first session on the clone was seen."""
        run = self.context.run
        chunks = LogChunk.objects.filter(run_id=run.pk, attempt=run.attempt).order_by("first_line")
        for chunk in chunks.iterator():
            for line, stamp in zip(chunk.body.split("\n"), chunk.stamps, strict=True):
                if line.strip() == "Running migrations:":
                    return datetime.fromtimestamp(stamp / 1000, UTC)
        return datetime.fromtimestamp(trace.visited_at, UTC) if trace.visited_at is not None else None

    def _say(self, change: Change, done: Completed, held: list[dict[str, Any]]) -> None:
        params, told = self.params, self.told
        if done.timed_out:
            told.append(f"The migrate command was ended after {duration(done.seconds)}, the time that it is given.")
        elif done.returncode != 0:
            last = change.migrations[-1].name if change.migrations else "none"
            told.append(
                f"The migrate command ended with exit status {done.returncode} after"
                f" {len(change.migrations)} migration(s); the last one applied is {last}."
            )
        if held and held[0]["seconds"] > params.longest_lock.total_seconds():
            worst = held[0]
            by = f" by {worst['migration']}" if worst["migration"] else ""
            told.append(
                f"{worst['table']} was closed for {worst['blocks']} for {duration(worst['seconds'])}{by};"
                f" the limit is {duration(params.longest_lock.total_seconds())}."
            )
        if self.took > params.longest.total_seconds():
            told.append(f"It took {duration(self.took)}; the limit is {duration(params.longest.total_seconds())}.")
        for row in change.rewrites:
            if row["rows"] > params.rewrite_rows:
                told.append(f"{row['table']} with {row['rows']:,} rows was rewritten; {params.rewrite_rows:,} may be.")
        for name in change.invalid:
            told.append(f"The index {name} is left invalid: it costs writes and serves no reads.")

    def _outcome(self, change: Change, done: Completed) -> Outcome:
        held = self.result["locks"]
        longest = float(held[0]["seconds"]) if held else 0.0
        figures = {
            "migrations": len(change.migrations),
            "seconds": round(self.took, 2),
            "command_seconds": round(done.seconds, 2),
            "longest_lock_seconds": longest,
            "rewrites": len(change.rewrites),
            "size_change_bytes": change.size_after - change.size_before,
            "wal_bytes": change.wal_bytes,
            "irreversible": len(self.result["irreversible"]) if self.result["reversible_checked"] else None,
        }
        self.result["problems"] = self.told
        if self.told:
            more = f" (and {len(self.told) - 1} more)" if len(self.told) > 1 else ""
            return Outcome(False, (self.told[0] + more)[:500], figures=figures, result=self.result)
        if not change.anything:
            summary = f"The command ran for {duration(done.seconds)} and changed nothing: no migration was left."
        else:
            summary = (
                f"{len(change.migrations)} migration(s) in {duration(self.took)},"
                f" longest lock {duration(longest)}, {len(change.rewrites)} table(s) rewritten."
            )
        return Outcome(True, summary, figures=figures, result=self.result)
