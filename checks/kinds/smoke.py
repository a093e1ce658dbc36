"""Smoke test: declared requests are answered with declared status, text and time."""

from typing import Any

from pydantic import Field

from checks.errors import CheckError
from checks.kinds.base import Kind, KindParams, Outcome, RunContext, Step, register
from checks.plan import Plan, Request
from checks.tools import http
from checks.tools.origins import origin


class SmokeParams(KindParams):
    """``url``: another address of the same host, where the environment answers on several ports or paths."""

    requests: list[Request] = Field(
        default=[], max_length=100, description="Left empty, those of the plan's deploy section are asked."
    )
    url: str = Field(
        default="",
        max_length=1000,
        title="Address",
        description="Left empty, the environment's own; another one must be on the same host.",
    )


@register
class Smoke(Kind):
    name = "smoke"
    title = "Smoke test"
    description = "Asks the declared addresses and compares status, text and time with what the plan expects."
    Params = SmokeParams
    judges_running_build = True
    valid_hours = 24

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        return [Step("requests", "Ask the declared addresses")]

    def run(self, context: RunContext) -> Outcome:
        params: SmokeParams = context.params
        requests = params.requests or context.plan.deploy.smoke
        base = _address(context, params.url)
        answers: list[http.Answer] = []
        with context.step("requests") as step:
            bad = http.smoke_test(context, step, base, requests, answers)
            if bad:
                step.fail(bad[0])
        slowest = max(answers, key=lambda answer: answer.seconds)
        return Outcome(
            passed=not bad,
            summary=_summary(answers, bad),
            figures={
                "requests": len(answers),
                "failed": len(bad),
                "slowest_ms": round(slowest.seconds * 1000, 1),
                "slowest": slowest.path,
            },
            result={"url": base, "answers": [answer.as_json() for answer in answers]},
        )


def _address(context: RunContext, wanted: str) -> str:
    """The address to ask. Only the host of the environment itself, so that no run reaches into another network."""
    own = context.environment.url
    if not wanted:
        return own
    try:
        hosts = {origin(own)[1], origin(wanted)[1]}
    except ValueError as error:
        raise CheckError(f"The address cannot be asked: {error}.") from None
    if len(hosts) > 1:
        raise CheckError(
            f"The address {wanted} is not on the host of {context.run.environment.name}, so it was not asked.",
            remedy="Name that host as the environment's url in the plan.",
        )
    return wanted


def _summary(answers: list[http.Answer], bad: list[str]) -> str:
    if not bad:
        return f"{len(answers)} of {len(answers)} requests answered as declared."
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return f"{len(bad)} of {len(answers)} requests not as declared: {bad[0]}{more}"[:500]
