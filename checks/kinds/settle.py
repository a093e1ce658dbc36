"""Settle: what transitions keep in the target for their undo goes, once nobody will go back any more."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from functools import partial
from typing import Any, ClassVar, Final

import psycopg
from django.db import transaction
from pydantic import Field

from checks.enums import StepCategory
from checks.errors import CheckError
from checks.kinds.base import Kind, KindParams, Outcome, RunContext, Step, StepHandle, register
from checks.models import Run
from checks.plan import Duration, Plan
from checks.tools import report_files
from checks.tools.background import patiently
from checks.tools.postgres import Address, Connection, connected
from checks.tools.transition import committing, holding, keeping, locking, settling
from checks.tools.transition.settling import Kept
from releases.domain import ledger
from releases.enums import Role
from releases.models import LedgerEntry
from releases.permissions import roles_in
from releases.templatetags.interface_format import size

SETTLED: Final = "transition.settled"
_UNKNOWN: Final = CheckError(
    "The connection to the target was lost while it was settled, so nobody knows whether it was.",
    remedy="Start again once no session of pg_stat_activity there is committing any more: the look says what is still"
    " kept.",
)
#: Of the transitions as a file, one row for each table.
COLUMNS: Final = (
    "run", "moved_at", "release", "build", "table", "inserted", "merged", "skipped", "rows_of_before", "bytes",
    "watched", "undone_by_rollback", "becomes", "why",
)  # fmt: skip


class SettleParams(KindParams):
    transition: str = Field(max_length=60, description="The check of kind transition whose kept rows are settled.")
    keep_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        description="How many days what was moved can be undone at least. A run may keep it longer, not shorter.",
    )
    dry: bool = Field(default=False, description="Only say what would be settled.")
    give_up: str = Field(
        default="",
        max_length=1000,
        description="Why the newest release, live and no longer watched, will never be rolled back: then what its"
        " rollback would undo is settled too, and that rollback is refused. A release manager says so.",
    )
    others: bool = Field(
        default=False,
        description="Also what another installation moved, of which nobody here knows whether it may be taken back."
        " A release manager says so.",
    )
    lock_timeout: Duration = Field(
        default=timedelta(seconds=30), description="How long to wait for a transition or a reader of what is kept."
    )


@register
class Settle(Kind):
    """Passed means: nothing is kept that may be settled."""

    name: ClassVar[str] = "settle"
    title: ClassVar[str] = "Settle transitions"
    description: ClassVar[str] = (
        "Removes what moves of people's data keep in the target for their undo, rows of before among it, once nobody"
        " will go back any more. What a rollback would still undo stays."
    )
    Params: ClassVar[type[SettleParams]] = SettleParams
    valid_hours: ClassVar[int] = 168

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        return [
            Step("look", "Look what is kept", StepCategory.DATABASE),
            Step("choose", "Choose what may be settled"),
            Step("settle", "Settle it in one transaction", StepCategory.DATABASE),
        ]

    def run(self, context: RunContext) -> Outcome:
        return _Settle(context).run()

    def left_behind(self, params: Any) -> list[str]:
        if params.dry:
            return []
        return [
            "What is settled can never be undone any more: a rollback that would undo it is refused from then on. With"
            " “Dry” it only shows what would go."
        ]

    def problems(self, plan: Plan, params: Any, environment: str) -> list[tuple[tuple[str | int, ...], str]]:
        check = plan.checks.get(params.transition)
        if check is None or check.kind != "transition":
            return [(("transition",), f"there is no check {params.transition!r} of kind transition")]
        if check.environment != environment:
            into = f"{params.transition} moves rows into {check.environment}, so it is settled there"
            return [(("transition",), f"{into}, not in {environment}")]
        return []


@dataclass(frozen=True)
class _Row:
    """A transition, what is kept for it, and why it stays."""

    kept: Kept
    hold: holding.Hold


class _Settle:
    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.params: SettleParams = context.params
        self.environment = context.run.environment
        self.section = f"checks.{self.params.transition}"
        self.target = Address.parse(context.database_url(), what=f"The database address of {self.environment.name}")

    def run(self) -> Outcome:
        context, params = self.context, self.params
        _refuse(context)
        with connected(self.target, what="the target", lock_timeout=params.lock_timeout) as connection:
            with context.step("look") as step:
                rows = self._look(connection, step)
            with context.step("choose") as step:
                going = self._choose(rows, step)
            with context.step("settle") as step:
                if params.dry or not going:
                    step.skip("a dry run" if params.dry else "nothing may be settled")
                else:
                    self._settle(connection, going, step)
        settled = self._settled()
        if settled:
            _tell(context.run, settled)
        # An attempt whose worker died may have settled others: each that was chosen now must be among them.
        missing = {row.kept.standing.place for row in going} - {one.place for one in settled}
        if missing and not params.dry:
            raise CheckError(
                "The connection to the target was lost while it was settled, and its journal does not say that it was.",
                remedy="See that its server runs, then start again: the look says what is still kept.",
            )
        return self._outcome([row for row in rows if row.hold.why or params.dry], settled)

    def _look(self, connection: Connection, step: StepHandle) -> list[_Row]:
        """Alone from here on, so that what is chosen is still so when it is removed."""
        context, params = self.context, self.params
        seconds = params.lock_timeout.total_seconds()
        locking.take_turn(context, connection, alone=not params.dry, seconds=seconds, what="the target")
        busy = holding.in_the_way(self.environment)
        if busy and not params.dry:
            raise CheckError(f"{busy} Nothing was settled.")
        standing = [one for one in keeping.everything(connection) if not one.settled]
        rules = holding.Rules(params.transition, timedelta(days=params.keep_days), params.give_up, params.others)
        holds = holding.holds(self.environment, standing, rules, settling.now(connection))
        ours, rows = [one for one in standing if one.place in holds], []
        for number, one in enumerate(ours):
            step.progress(number, len(ours), "transitions")
            step.doing(f"Counting what run {one.told} keeps")
            kept = patiently(context, connection, partial(settling.look, connection, one))
            hold = holds[one.place]
            rows.append(_Row(kept, replace(hold, why=busy or hold.why)))
        step.figure("transitions", len(rows))
        step.figure("bytes", sum(row.kept.size for row in rows))
        return rows

    def _choose(self, rows: list[_Row], step: StepHandle) -> list[_Row]:
        going = [row for row in rows if not row.hold.why]
        for row in rows:
            told = f"{row.kept.told}: {size(row.kept.size)}"
            self.context.note(f"Stays: {told}. {row.hold.why}" if row.hold.why else f"Goes: {told}.")
        step.figure("going", len(going))
        step.figure("staying", len(rows) - len(going))
        return going

    def _settle(self, connection: Connection, going: list[_Row], step: StepHandle) -> None:
        run = self.context.run
        facts = {"run": run.number, "run_id": str(run.pk), "by": str(run.started_by) if run.started_by else ""}
        connection.autocommit = False
        for number, row in enumerate(going):
            step.progress(number, len(going), "transitions")
            step.doing(f"Settling what run {row.kept.standing.told} keeps")
            because = self.params.give_up.strip() if row.hold.undone_by_rollback else ""
            work = partial(settling.settle, connection, row.kept, facts={**facts, "because": because})
            patiently(self.context, connection, work)
        self.context.check()
        with suppress(psycopg.OperationalError):  # Then nothing stands, and that is told when it is looked for.
            committing.commit(connection, self._look_again, self._stands, _UNKNOWN)

    def _look_again(self) -> AbstractContextManager[Connection]:
        return connected(self.target, what="the target")

    def _stands(self, connection: Connection) -> bool:
        return bool(settling.settled_by(connection, self.section, str(self.context.run.pk)))

    def _settled(self) -> list[keeping.Standing]:
        """What this run settled, in an attempt whose worker died as well."""
        with connected(self.target, what="the target") as connection:
            return settling.settled_by(connection, self.section, str(self.context.run.pk))

    def _outcome(self, rows: list[_Row], settled: list[keeping.Standing]) -> Outcome:
        shown = [_of_mark(one) for one in settled] + [_of_row(row) for row in rows]
        staying = [row for row in shown if row["why"]]
        figures = {
            "settled": len(settled),
            "going": len(shown) - len(settled) - len(staying),
            "staying": len(staying),
            "freed_bytes": sum(row["bytes"] - row["left_bytes"] for row in shown if row["becomes"] == "settled"),
            "kept_bytes": sum(row["bytes"] for row in shown if row["becomes"] != "settled"),
            "left_bytes": sum(row["left_bytes"] for row in shown if row["becomes"] == "settled"),
        }
        result = {**figures, "dry": self.params.dry, "transition": self.params.transition, "transitions": shown,
                  "keep_days": self.params.keep_days, "give_up": self.params.give_up.strip()}  # fmt: skip
        artifacts = report_files.keep(self.context, "settle", result, {"transitions": (COLUMNS, _lines(shown))})
        return Outcome(True, _summary(self.environment.name, figures, staying, self.params.dry), figures=figures,
                       result=result, artifacts=artifacts)  # fmt: skip


def _refuse(context: RunContext) -> None:
    """Say no before the target is touched, where the run asks for more than the plan allows."""
    check = context.plan.checks[context.run.section.removeprefix("checks.")]
    planned, params = SettleParams.model_validate(check.params), context.params
    if (params.transition, context.run.environment.name) != (planned.transition, check.environment):
        raise CheckError(
            f"The plan lets {context.run.section} settle {planned.transition} in {check.environment}, and nothing else."
            " Nothing was settled.",
            remedy="Give what another check moved a section of its own in the plan.",
        )
    if params.keep_days < planned.keep_days:
        raise CheckError(
            f"The plan keeps what was moved for {planned.keep_days} days; a run may keep it longer, not for"
            f" {params.keep_days}. Nothing was settled.",
            remedy="Publish a plan with a smaller keep_days, or wait.",
        )
    more = (params.give_up.strip(), params.others) != (planned.give_up.strip(), planned.others)
    person = context.run.started_by
    if more and (person is None or Role.RELEASE_MANAGER not in roles_in(person, context.run.application)):
        raise CheckError(
            "Only a release manager gives up the way back of a release, or settles what another installation moved."
            " Nothing was settled.",
            remedy="Ask one to start it.",
        )


@transaction.atomic
def _tell(run: Run, settled: list[keeping.Standing]) -> None:
    """In the ledger, once, though the run may be at it a second time."""
    Run.objects.select_for_update(no_key=True).get(pk=run.pk)
    if LedgerEntry.objects.filter(action=SETTLED, subject_id=str(run.pk)).exists():
        return
    transitions = [
        {
            "run": row["run"],
            "moved_at": row["moved_at"],
            "release": row["release"],
            "build": row["build"],
            "rows": row["rows"],
            "freed_bytes": row["bytes"] - row["left_bytes"],
            "because": row["because"],
        }
        for row in map(_of_mark, settled)
    ]
    document = {"number": run.number, "environment": run.environment.name, "section": settled[0].section,
                "transitions": transitions}  # fmt: skip
    ledger.append(action=SETTLED, actor=run.started_by, subject=run, document=document)


def _of_mark(one: keeping.Standing) -> dict[str, Any]:
    mark = one.settled
    assert mark is not None
    more = {"watched": False, "undone_by_rollback": bool(mark["because"]), "because": mark["because"]}
    sizes = {"bytes": mark["bytes"], "left_bytes": mark["left_bytes"]}
    return {**_shown(one, mark["tables"]), **sizes, **more, "becomes": "settled", "why": ""}


def _of_row(row: _Row) -> dict[str, Any]:
    tables = [settling.counts(table) for table in row.kept.tables]
    more = {"watched": row.hold.watched, "undone_by_rollback": row.hold.undone_by_rollback, "because": ""}
    becomes = "stays" if row.hold.why else "would be settled"
    return {**_shown(row.kept.standing, tables), "bytes": row.kept.size, "left_bytes": 0, **more, "becomes": becomes,
            "why": row.hold.why}  # fmt: skip


def _shown(one: keeping.Standing, tables: list[dict[str, Any]]) -> dict[str, Any]:
    rows = sum(table["inserted"] + table["merged"] + table["skipped"] for table in tables)
    return {
        "run": one.run,
        "moved_at": one.moved_at.isoformat(),
        "moved_text": f"{one.moved_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "release": one.release or "",
        "build": one.build or "",
        "tables": tables,
        "rows": rows,
        "rows_of_before": sum(table["before"] for table in tables),
    }


def _lines(shown: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One for each table of each transition."""
    for row in shown:
        for table in row["tables"]:
            yes = {name: "yes" if row[name] else "no" for name in ("watched", "undone_by_rollback")}
            yield {**row, **table, **yes, "rows_of_before": table["before"]}


def _summary(where: str, figures: dict[str, int], staying: list[dict[str, Any]], dry: bool) -> str:
    stays = f" {figures['staying']} stays." if staying else ""
    if len(staying) == 1:
        stays = f" Run #{staying[0]['run']} stays. {staying[0]['why']}"
    elif staying:
        stays = f" {len(staying)} stay, the first of them (run #{staying[0]['run']}): {staying[0]['why']}"
    if dry and figures["going"]:
        return f"{figures['going']} would be settled ({size(figures['kept_bytes'])}).{stays}"[:500]
    if figures["settled"]:
        return f"{figures['settled']} settled, {size(figures['freed_bytes'])} freed.{stays}"[:500]
    return f"Nothing was settled.{stays}"[:500] if staying else f"Nothing that could be settled is kept in {where}."
