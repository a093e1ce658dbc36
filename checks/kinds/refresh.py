"""Refresh: a rehearsal environment gets production's data, masked before it leaves production's server."""

from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, ClassVar

from checks.enums import StepCategory
from checks.errors import CheckError
from checks.kinds.base import Kind, Outcome, RunContext, Step, register
from checks.plan import Plan, RefreshSection
from checks.tools import cloning, delivery, masked_copy, scratch
from checks.tools.postgres import Address, connected, maintenance
from releases.enums import Tier
from releases.templatetags.interface_format import duration

SWAP = "swap"


@register
class Refresh(Kind):
    """Passed means: the environment holds production's data, and no masked value of production is in it."""

    name: ClassVar[str] = "refresh"
    title: ClassVar[str] = "Refresh with masked data"
    description: ClassVar[str] = (
        "Clones production's database beside it, masks the clone by the plan's inventory, proves that no masked value"
        " is left, and only then carries it into the environment, whose own database is set aside."
    )
    tiers: ClassVar[frozenset[Tier]] = frozenset({Tier.DEVELOPMENT, Tier.STAGING})
    exclusive: ClassVar[bool] = True
    is_check: ClassVar[bool] = False

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        refresh = plan.refresh
        return [
            *masked_copy.LOOK,
            *masked_copy.MAKE,
            masked_copy.CARRY,
            *delivery.announced(refresh.before if refresh else []),
            Step(SWAP, "Put it in the place of the old data", StepCategory.DATABASE),
            *delivery.announced(refresh.after if refresh else []),
        ]

    def run(self, context: RunContext) -> Outcome:
        refresh = context.plan.refresh
        if refresh is None or refresh.environment != context.run.environment.name:
            raise CheckError(
                f"The plan does not say how {context.run.environment.name} is refreshed. Nothing was touched.",
                remedy="Add a section refresh to the plan and publish it.",
            )
        return _Refresh(context, refresh).run()


class _Refresh:
    """One refresh. Until the swap, the environment's own database is as it was."""

    def __init__(self, context: RunContext, section: RefreshSection) -> None:
        self.context = context
        self.section = section
        self.place = context.run.environment.name
        self.target = Address.parse(context.database_url(), what=f"The database address of {self.place}")
        self.source = Address.parse(
            context.database_url(section.source), what=f"The database address of {section.source}"
        )
        limits = masked_copy.Limits(proof=section.proof_timeout, lock=section.lock_timeout)
        self.copy = masked_copy.MaskedCopy(context, self.source, limits)
        self.copy.result |= {"source": section.source, "replaced": "", "problem": "", "remedy": "", "stopped_at": ""}

    def run(self) -> Outcome:
        context = self.context
        if self.source.database == self.target.database and cloning.same_server(self.source, self.target):
            raise CheckError(
                f"{self.place} and {self.section.source} have one and the same database. Nothing was touched.",
                remedy=f"Give {self.place} a database of its own in the plan.",
            )
        with connected(maintenance(self.target), what=f"the server of {self.place}") as connection:
            scratch.refuse_bound(connection, self.target.database)
        self.copy.look()
        self.copy.refuse_foreign(self.place)
        if self.copy.told:
            return self._refused()
        with ExitStack() as stack:
            with self.copy.made() as clone:
                if self.copy.told:
                    return self._refused()
                fresh = stack.enter_context(self.copy.carried(clone, self.target))
            walked = delivery.walk(context, self._parts(fresh))
        return self._outcome(walked)

    def _parts(self, fresh: Address) -> list[delivery.Part]:
        environment = self.context.run.environment
        running = {
            "GONOGO_RUNNING_VERSION": environment.current_version,
            "GONOGO_RUNNING_BUILD_DIGEST": environment.current_build_digest,
        }
        return [
            *(delivery.command_part(self.context, step, running) for step in self.section.before),
            delivery.Part(SWAP, lambda _: self._swap(fresh)),
            *(delivery.command_part(self.context, step, running) for step in self.section.after),
        ]

    def _swap(self, fresh: Address) -> str:
        """One transaction; what the environment had is kept under another name until the next refresh or restore."""
        context, target = self.context, self.target
        orders = maintenance(target)
        aside = scratch.set_aside_name(target.database, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        scratch.swap(context, orders, fresh=fresh.database, target=target.database, aside=aside)
        self.copy.result["replaced"] = aside
        context.note(f"{target.database} holds the masked data now; what it was is kept as {aside}.")
        with connected(orders, what="the server") as connection:
            for name in scratch.drop_older_set_aside(connection, target.database, aside):
                context.note(f"Dropped {name}, which was set aside before.")
        return ""

    def _refused(self) -> Outcome:
        said = f"{self.copy.why_not()} {self.place} is untouched."
        copy = self.copy
        return Outcome(False, said[:500], figures=copy.figures, result=copy.result, artifacts=copy.files())

    def _outcome(self, walked: delivery.Walk) -> Outcome:
        copy = self.copy
        copy.result |= {"problem": walked.problem, "remedy": walked.remedy, "stopped_at": walked.stopped_at}
        if walked.passed:
            said = (
                f"{self.place} holds the data of {self.section.source}, masked in"
                f" {duration(copy.figures['masking_seconds'])}; none of {copy.figures['compared']:,} masked values is"
                " left in it."
            )
        elif copy.result["replaced"]:
            said = f"{walked.problem} {self.place} has the masked data, and stopped at {walked.stopped_at}."
        else:
            said = f"{walked.problem} {self.place} still has its old data."
        return Outcome(walked.passed, said[:500], figures=copy.figures, result=copy.result, artifacts=copy.files())
