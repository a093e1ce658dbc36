"""Personal data: every column that looks like it is classified, and masking a clone leaves nothing of it."""

from datetime import timedelta
from typing import Any, ClassVar

from pydantic import Field

from checks.enums import StepCategory
from checks.kinds.base import Kind, KindParams, Outcome, RunContext, Step, register
from checks.plan import Duration, Plan
from checks.tools import cloning, masked_copy
from checks.tools.postgres import Address
from releases.templatetags.interface_format import duration


class PrivacyParams(KindParams):
    sample_rows: int = Field(default=300, ge=10, le=10_000, description="How many rows of each table are looked at.")
    statement_timeout: Duration = Field(
        default=timedelta(seconds=20), description="How long one look into the database may take."
    )
    rehearse: bool = Field(default=True, description="Also mask a clone, prove that nothing is left, and drop it.")
    clone: cloning.Method = Field(
        default="auto", description="auto: as a template where nobody is connected, else by dump and restore."
    )
    also_in: list[str] = Field(
        default=[], max_length=20, description="Environments whose databases must hold no masked value either."
    )
    proof_timeout: Duration = Field(
        default=timedelta(minutes=10), description="How long one look of the proof may take on the original."
    )
    lock_timeout: Duration = Field(
        default=timedelta(seconds=30), description="How long cloning waits for a table that somebody holds locked."
    )


@register
class Privacy(Kind):
    """Passed means: whatever looks personal is classified, and no masked value is left in a masked clone."""

    name: ClassVar[str] = "privacy"
    title: ClassVar[str] = "Personal data"
    description: ClassVar[str] = (
        "Looks for personal data in every column of the environment's database, compares what it finds with the plan's"
        " inventory, masks a clone by the inventory's rules, and proves that no masked value is left in it."
    )
    Params: ClassVar[type[PrivacyParams]] = PrivacyParams
    valid_hours: ClassVar[int] = 168

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        elsewhere = Step("elsewhere", "Look for masked values elsewhere", StepCategory.DATABASE)
        return [*masked_copy.LOOK, *masked_copy.MAKE, elsewhere]

    def run(self, context: RunContext) -> Outcome:
        params: PrivacyParams = context.params
        what = f"The database address of {context.run.environment.name}"
        copy = masked_copy.MaskedCopy(
            context,
            Address.parse(context.database_url(), what=what),
            masked_copy.Limits(
                rows=params.sample_rows, look=params.statement_timeout, proof=params.proof_timeout,
                lock=params.lock_timeout, method=params.clone,
            ),
        )  # fmt: skip
        copy.look()
        _rehearse(context, copy)
        _elsewhere(context, copy)
        return _outcome(copy)


def _rehearse(context: RunContext, copy: masked_copy.MaskedCopy) -> None:
    reason = "the plan does not ask for it" if not context.params.rehearse else ""
    reason = reason or ("the inventory has to be put right first" if copy.told else "")
    if reason:
        for each in masked_copy.MAKE:
            with context.step(each.key) as step:
                step.skip(reason)
        return
    with copy.made():
        context.note("The masked clone was made to be proven, and is dropped now.")


def _elsewhere(context: RunContext, copy: masked_copy.MaskedCopy) -> None:
    with context.step("elsewhere") as step:
        if not context.params.also_in:
            step.skip("the plan names no other environment")
            return
        said: list[str] = []
        for name in context.params.also_in:
            address = Address.parse(context.database_url(name), what=f"The database address of {name}")
            said += copy.prove(address, name, step)
        if said:
            step.fail(said[0])


def _outcome(copy: masked_copy.MaskedCopy) -> Outcome:
    figures = copy.figures
    if copy.told:
        return Outcome(False, copy.why_not(), figures=figures, result=copy.result, artifacts=copy.files())
    said = f"{figures['personal']:,} of {figures['columns']:,} columns hold personal data, all classified."
    if copy.result["rehearsed"]:
        said += (
            f" A clone was masked in {duration(figures['masking_seconds'])}; none of {figures['compared']:,} masked"
            " values is left in it."
        )
    return Outcome(True, said, figures=figures, result=copy.result, artifacts=copy.files())
