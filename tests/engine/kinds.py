"""Kinds that exist in tests only: they run what their parameters say. Importing this module registers them."""

import time
from typing import Any

from pydantic import Field

from checks.enums import StepCategory
from checks.errors import CheckError
from checks.kinds.base import Inconclusive, Kind, KindParams, Outcome, RunContext, Step, register
from checks.models import Run
from releases.errors import DomainError


class CommandParams(KindParams):
    argv: list[str] = ["true"]
    timeout: float = 60
    check: bool = True
    notes: list[str] = []
    secret_value: str = ""
    passed: bool = True
    store: dict[str, str] = {}
    raises: str = ""
    refuse_end: bool = False
    refuse_start: bool = False
    inconclusive: bool = False
    capture: bool = False
    variables: dict[str, str] = Field(default={})


class CommandKind(Kind):
    Params = CommandParams

    def steps(self, plan: Any, section: str, params: Any) -> list[Step]:
        return [Step("command", "Run the command"), Step("look", "Look at it", StepCategory.BACK_END)]

    def run(self, context: RunContext) -> Outcome:
        params: CommandParams = context.params
        if params.secret_value:
            context.mask(params.secret_value, "generated")
        figures: dict[str, Any] = {}
        with context.step("command") as step:
            for note in params.notes:
                context.note(note)
            if params.capture:
                figures["output"] = context.capture(params.argv, timeout=params.timeout).output
            else:
                done = context.command(
                    params.argv, timeout=params.timeout, check=params.check, variables=params.variables
                )
                figures["returncode"] = done.returncode
            step.figure("done", True)
        with context.step("look") as step:
            if not params.passed:
                step.fail("it said no")
        if params.raises == "check":
            raise CheckError("It broke.", remedy="Mend it.")
        if params.raises:
            raise ValueError(params.raises)
        artifacts = [context.store(name, text.encode()) for name, text in params.store.items()]
        outcome = Outcome(params.passed, "It ran.", figures=figures, artifacts=artifacts)
        if params.inconclusive:
            raise Inconclusive("Too little was seen.", remedy="Look further.", outcome=outcome)
        return outcome

    def started(self, run: Run) -> None:
        if run.params["refuse_start"]:
            raise DomainError("The domain does not want this to start.")

    def ended(self, run: Run) -> None:
        if run.params["refuse_end"] and run.state == "passed":
            raise DomainError("The domain does not want this to end so.")


@register
class Idempotent(CommandKind):
    name = "test_command"
    title = "Test command"
    description = "Runs a command."


@register
class Exclusive(CommandKind):
    name = "test_exclusive"
    title = "Test deploy"
    description = "Runs a command, alone."
    exclusive = True


class AloneParams(CommandParams):
    also_in: str = ""


@register
class Alone(CommandKind):
    name = "test_alone"
    title = "Test load"
    description = "Runs a command, beside no other of its sort."
    Params = AloneParams

    def alone_in(self, params: Any, environment: str) -> list[str]:
        return [environment, *filter(None, [params.also_in])]


@register
class AboutTheBuild(CommandKind):
    name = "test_build"
    title = "Test of the running build"
    description = "Runs a command against what runs there."
    judges_running_build = True
    needs_release = True


class StepsParams(KindParams):
    updates: int = 3
    pause: float = 0.0


@register
class Steps(Kind):
    """Reports progress; no command."""

    name = "test_steps"
    title = "Test steps"
    description = "Reports progress."
    Params = StepsParams

    def steps(self, plan: Any, section: str, params: Any) -> list[Step]:
        return [Step("first", "First"), Step("second", "Second")]

    def run(self, context: RunContext) -> Outcome:
        with context.step("first") as step:
            for number in range(context.params.updates):
                context.check()
                step.doing(f"row {number}")
                step.progress(number, context.params.updates, "rows")
                time.sleep(context.params.pause)
        with context.step("second") as step:
            step.skip("not needed")
        return Outcome(True, "Done.")
