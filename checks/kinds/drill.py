"""Restore drill: prove that a stored backup comes back whole, and measure how long that takes."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Final

from pydantic import Field

from checks.enums import RunState, StepCategory
from checks.errors import CheckError
from checks.kinds.base import Kind, KindParams, Outcome, RunContext, Step, StepHandle, register
from checks.models import Run
from checks.plan import Plan
from checks.tools import (
    catalogue,
    comparing,
    drill_files,
    dumping,
    facts,
    manifest,
    restoring,
    scratch,
    soundness,
    storage,
)
from checks.tools.background import patiently
from checks.tools.crypto import KeyRing
from checks.tools.postgres import Address, connected
from releases.enums import Tier
from releases.templatetags.interface_format import duration

MAX_TABLES = 300
#: What a step proves of the backup by being done, in the list of what was looked at.
_PROVED: Final = {
    "find": "It is there, and of this environment",
    "authenticate": "Every byte is authentic",
    "restore": "It restores without an error",
}
_PAGES: Final = "Pages and indexes are sound"


class BackupToDrill(KindParams):
    backup: str = Field(
        default="",
        max_length=500,
        description="Key of the manifest of the backup to drill; empty for the newest one of the environment.",
    )
    amcheck: bool = Field(default=True, description="Also run pg_amcheck where the role may.")


class DrillParams(BackupToDrill):
    restore_on: str = Field(
        default="",
        max_length=60,
        description="Environment on whose database server the scratch database is made; empty for the same server.",
    )
    unmasked_because: str = Field(
        default="",
        max_length=300,
        description="Why production's people may stand there in clear, where restore_on is not of the tier production.",
    )


@register
class Drill(Kind):
    """Passed means: authentic to the last byte, restored without an error, equal to its manifest, in time."""

    name: ClassVar[str] = "drill"
    title: ClassVar[str] = "Restore drill"
    description: ClassVar[str] = (
        "Authenticates the newest backup, restores it into a scratch database, compares rows, checksums, sequences and"
        " schema with what was dumped, writes to it, and measures RTO by phase and RPO."
    )
    Params: ClassVar[type[BackupToDrill]] = DrillParams
    follows: ClassVar[str] = "backup"
    valid_hours: ClassVar[int] = 168

    def problems(self, plan: Plan, params: Any, environment: str) -> list[tuple[tuple[str | int, ...], str]]:
        place = params.restore_on
        if place and place not in plan.environments:
            return [(("restore_on",), f"there is no environment {place!r}: {', '.join(plan.environments)}")]
        if leaves_production(plan, environment, place) and not params.unmasked_because:
            said = (
                f"{environment}'s backup is not masked, and {place} is of the tier {plan.environments[place].tier}:"
                " give unmasked_because a reason, or leave restore_on out"
            )
            return [(("restore_on",), said)]
        return []

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        return [
            Step("find", "Find the backup"),
            Step("authenticate", "Authenticate every byte of it"),
            Step("create", "Make a scratch database", StepCategory.DATABASE),
            Step("restore", "Restore", StepCategory.DATABASE),
            Step("compare", "Compare with what was dumped", StepCategory.DATABASE),
            Step("write", "Write to it", StepCategory.DATABASE),
            Step("amcheck", "Check its pages and indexes", StepCategory.DATABASE),
            Step("judge", "Judge against RTO and RPO"),
        ]

    def run(self, context: RunContext) -> Outcome:
        return DrillWork(context).run()

    def ended(self, run: Run) -> None:
        """What the drill found out about the backup itself goes into the list of backups."""
        key = (run.result.get("backup") or {}).get("manifest")
        if key and "fault" in run.result and run.state in (RunState.PASSED, RunState.FAILED):
            catalogue.drilled(run, key, fault=run.result["fault"])


def leaves_production(plan: Plan, environment: str, place: str) -> bool:
    """Whether a restore at ``place`` would put production's rows, as they are, where others than production's work."""
    origin, there = plan.environments.get(environment), plan.environments.get(place)
    if origin is None or there is None:
        return False
    return origin.tier is Tier.PRODUCTION and there.tier is not Tier.PRODUCTION


class DrillWork:
    """One drill. ``told`` collects a sentence for each thing that is wrong with the backup, ``checks`` what was looked
    at and what came of it.
    """

    #: Of the file with everything.
    name: ClassVar[str] = "drill"

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.params: BackupToDrill = context.params
        self.phases = restoring.Phases()
        self.told: list[str] = []
        self.checks: list[dict[str, str]] = []
        self.result: dict[str, Any] = {
            "tables": [],
            "differences": self.told,
            "checks": self.checks,
            "amcheck": "not reached",
        }
        self.document: dict[str, Any] = {}
        self.tables: list[dict[str, Any]] = []
        self.rows = 0

    def run(self) -> Outcome:
        try:
            self._find()
            self._authenticate()
            with ExitStack() as stack:
                address = self._create(stack)
                self._restore(address)
                self._compare(address)
                self._write(address)
                self._amcheck(address)
                self.result["fault"] = self.told[0] if self.told else ""
                self._use(address)
        except manifest.UnusableBackupError as error:
            self.told.append(error.message)
            self.result["fault"] = error.message
            return self._outcome(reached=False, remedy=error.remedy)
        self._judge()
        return self._outcome(reached=True)

    @contextmanager
    def _step(self, key: str) -> Iterator[StepHandle]:
        """A step in which the backup may turn out to be unusable: then it failed, and did not break."""
        failure: manifest.UnusableBackupError | None = None
        with self.context.step(key) as step:
            try:
                yield step
            except manifest.UnusableBackupError as error:
                step.fail(error.message)
                self.context.warn(error.message)
                failure = error
        self._looked(_PROVED[key], failure.message if failure else "")
        if failure is not None:
            raise failure

    def _looked(self, what: str, wrong: str = "", *, outcome: str = "") -> None:
        """Note one thing that was looked at; ``wrong``: "" where it is as it should be."""
        self.checks.append({"check": what, "outcome": outcome or ("failed" if wrong else "passed"), "said": wrong})

    def _find(self) -> None:
        context = self.context
        application, environment = context.run.application.slug, context.run.environment.name
        with self._step("find") as step:
            key = self.params.backup or manifest.newest_key(application, environment)
            self.result["backup"] = {"manifest": key}
            try:
                self.document = manifest.load(key)
            except storage.MissingObjectError as error:
                raise manifest.UnusableBackupError(error.message, remedy=error.remedy) from error
            if (self.document["application"], self.document["environment"]) != (application, environment):
                raise manifest.UnusableBackupError(
                    f"The backup {key} is of {self.document['environment']} of {self.document['application']},"
                    f" not of {environment} of {application}."
                )
            if not self.document["tables"] and not self.document.get("may_be_empty"):
                raise manifest.UnusableBackupError(
                    f"The backup {key} holds no table, so a restore of it would prove nothing.",
                    remedy="Correct the address of the database and take another backup; or say may_be_empty: true in"
                    " the params of the backup.",
                )
            step.figure("snapshot", self.document["snapshot_at"])
            self.result["backup"] |= _of(self.document)
            context.note(f"Drilling {key}")

    def _authenticate(self) -> None:
        with self._step("authenticate") as step, self.phases.phase("authenticate"):

            def seen(done: float, total: float | None, unit: str) -> None:
                self.context.check()
                step.progress(done, total, unit)

            ring = KeyRing.from_settings()
            manifest.authenticate(self.document, ring, seen)
            files = restoring.configuration_of(self.document)
            if [item.as_json() for item in files] != self.document.get("configuration", []):
                raise manifest.UnusableBackupError("The configuration files in the backup are not those that it lists.")
            media = restoring.media_of(self.document)
            if media != self.document.get("media", {}):
                raise manifest.UnusableBackupError("The media files in the backup are not those that it lists.")
            self.result |= {"configuration_files": len(files), "media": media}

    def _create(self, stack: ExitStack) -> Address:
        context = self.context
        origin = context.run.environment.name
        environment = context.params.restore_on or origin
        with context.step("create") as step, self.phases.phase("create"):
            if leaves_production(context.plan, origin, environment):
                self._admit(origin, environment)
            server = Address.parse(context.database_url(environment), what=f"The database address of {environment}")
            with connected(server, what="the server of the drill") as connection:
                facts.require(connection, self.document)
            address = stack.enter_context(
                scratch.scratch_database(context, server, "drill", like=self.document["database"])
            )
            step.figure("database", address.database)
            self.result["server"] = server.server
        return address

    def _admit(self, origin: str, place: str) -> None:
        """The plan says with a reason that people may stand there in clear; or nothing is restored."""
        reason = self.context.params.unmasked_because
        if not reason:
            raise CheckError(
                f"{origin.capitalize()}'s backup is not masked, and may not be restored on the server of {place}, whose"
                f" tier is {self.context.plan.environments[place].tier}. Nothing was restored.",
                remedy="Leave restore_on out, name an environment of the tier production, or say in unmasked_because"
                " why its people may stand there in clear.",
            )
        self.result["unmasked_because"] = reason
        self.context.warn(f"{origin.capitalize()}'s rows stand unmasked on the server of {place}: {reason}")

    def _restore(self, address: Address) -> None:
        context = self.context
        with self._step("restore") as step:
            with self.phases.phase("restore"):
                try:
                    restoring.load_database(context, self.document, address, progress=step.progress)
                except dumping.RefusedError as error:
                    raise manifest.UnusableBackupError(f"The backup cannot be restored: {error.message}") from error
            with self.phases.phase("analyze"), connected(address, what="the scratch database") as connection:
                patiently(context, connection, lambda: connection.execute("ANALYZE"))

    def _compare(self, address: Address) -> None:
        context = self.context
        with context.step("compare") as step, self.phases.phase("compare"):
            with connected(address, what="the scratch database") as connection:
                pace = comparing.Pace(self.document)

                def tell() -> None:
                    step.doing(f"Comparing {pace.doing}")
                    step.progress(pace.done, pace.total, "rows")

                work = partial(comparing.compare, connection, self.document, pace)
                found = patiently(context, connection, work, tell)
            self.rows = sum(row["found"] or 0 for row in found.tables)
            shown = self.tables = sorted(found.tables, key=lambda row: (row["equal"], -(row["found"] or 0)))
            self.result |= {
                "tables": shown[:MAX_TABLES],
                "tables_left_out": max(0, len(shown) - MAX_TABLES),
                "tables_left_out_differing": sum(not row["equal"] for row in shown[MAX_TABLES:]),
                "table_count": len(shown),
                "sequences": found.sequences,
                "objects": found.objects,
            }
            for area, sentences in found.areas.items():
                self._looked(area, " ".join(sentences))
            self.told += found.differences
            for sentence in found.differences:
                context.warn(sentence)
            if found.differences:
                step.fail(f"{len(found.differences)} difference(s)")

    def _write(self, address: Address) -> None:
        with self.context.step("write") as step, self.phases.phase("write"):
            with connected(address, what="the scratch database") as connection:
                problem = soundness.write_test(connection)
            self._looked("It takes writes", problem)
            if problem:
                self.told.append(problem)
                step.fail(problem)

    def _amcheck(self, address: Address) -> None:
        """Not a part of RTO: nobody waits for it in a disaster."""
        with self.context.step("amcheck") as step:
            if not self.params.amcheck:
                self.result["amcheck"] = "not asked for"
                self._looked(_PAGES, "not asked for", outcome="not checked")
                step.skip("not asked for")
                return
            reason = soundness.why_no_amcheck(address)
            if reason:
                self.result["amcheck"] = f"not checked: {reason}"
                self._looked(_PAGES, reason, outcome="not checked")
                step.skip(reason)
                return
            problem = soundness.amcheck(self.context, address)
            self.result["amcheck"] = problem or "sound"
            self._looked(_PAGES, problem)
            if problem:
                self.told.append(problem)
                step.fail(problem)

    def _use(self, address: Address) -> None:
        """What else is done with the restored database; nothing in a plain drill."""

    def _judge(self) -> None:
        recovery = self.context.plan.recovery
        rto, rpo = recovery.rto.total_seconds(), recovery.rpo.total_seconds()
        with self.context.step("judge") as step:
            age = (datetime.now(UTC) - datetime.fromisoformat(self.document["snapshot_at"])).total_seconds()
            took = self.phases.total
            slow = f"The recovery took {duration(took)}; the target (RTO) is {duration(rto)}." if took > rto else ""
            old = f"The backup is {duration(age)} old; the target (RPO) is {duration(rpo)}." if age > rpo else ""
            self._looked("Recovery time (RTO)", slow)
            self._looked("Age of the data (RPO)", old)
            late = [sentence for sentence in (slow, old) if sentence]
            self.result["recovery"] = {
                "rto_seconds": took,
                "rto_target": rto,
                "within_rto": took <= rto,
                "age_seconds": round(age, 1),
                "rpo_target": rpo,
                "within_rpo": age <= rpo,
                "interval_seconds": self._interval(),
            }
            self.told += late
            if late:
                step.fail(" ".join(late))

    def _interval(self) -> float | None:
        """Seconds between the two newest backups: what would really be lost is up to that."""
        keys = manifest.published(self.document["application"], self.document["environment"])[:2]
        moments = [moment for key in keys if (moment := manifest.moment_of(key))]
        return (moments[0] - moments[1]).total_seconds() if len(moments) == 2 else None

    def _outcome(self, *, reached: bool, remedy: str = "") -> Outcome:
        self.result |= {
            "phases": self.phases.seconds,
            "phase_rows": [{"name": name, "seconds": took} for name, took in self.phases.seconds.items()],
            "restored": reached,
            "remedy": remedy,
        }
        figures: dict[str, Any] = {"differences": len(self.told), "seconds": self.phases.total}
        if reached:
            figures |= {
                "rto_seconds": self.phases.total,
                "rpo_seconds": self.result["recovery"]["age_seconds"],
                "rows": self.rows,
            }
        files = drill_files.keep(self.context, self.name, self.result, figures, self.tables)
        if self.told:
            more = f" (and {len(self.told) - 1} more)" if len(self.told) > 1 else ""
            return Outcome(False, (self.told[0] + more)[:500], figures=figures, result=self.result, artifacts=files)
        return Outcome(True, self._summary(), figures=figures, result=self.result, artifacts=files)

    def _summary(self) -> str:
        return (
            f"Restored in {duration(self.phases.total)}: {self.result['table_count']:,} tables with"
            f" {self.rows:,} rows are equal to what was dumped."
        )


def _of(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "snapshot_at": document["snapshot_at"],
        "snapshot_text": manifest.snapshot_text(document),
        "server": document["server"]["name"],
        "stored_bytes": sum(part.size for part in manifest.parts(document).values()),
        "key": document["key"]["id"],
        "run": document["run"],
    }
