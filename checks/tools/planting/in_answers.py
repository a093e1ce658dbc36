"""Faults of answers: what a server in front of the environment spoils."""

from collections.abc import Mapping
from typing import Any, Final

from checks.plan import Plan, Request
from checks.tools.loading.params import LoadParams
from checks.tools.planting.fault import Ground, Planted
from checks.tools.planting.materials import NotPlantable
from checks.tools.planting.proxy import EVERY, Spoiling
from checks.tools.planting.slowness import MORE_SECONDS, judged_by

#: An address that may take longer is not waited for.
LONGEST_SECONDS: Final = 30.0


def requests_of(plan: Plan, planned: Mapping[str, Any]) -> list[Request]:
    """What a smoke test asks: its own requests, or those of the deploy."""
    declared = [Request.model_validate(each) for each in planned.get("requests") or []]
    return declared or list(plan.deploy.smoke)


def refuse_patience(plan: Plan, planned: Mapping[str, Any], environment: str) -> None:
    within = min(each.within.total_seconds() for each in requests_of(plan, planned))
    if within > LONGEST_SECONDS:
        raise NotPlantable(f"each address may take {within:g} s and more, and a test of the gate does not wait so long")


def slow_endpoint(params: Mapping[str, Any], ground: Ground) -> Planted:
    """The address that has to be the quickest is later than the plan allows."""
    request = min(ground.requests, key=lambda each: each.within)
    within = request.within.total_seconds()
    delay = within + 0.5
    told = f"{request.path} takes {delay:g} s longer"
    spoiling = Spoiling(slow={_without_query(request.path): delay})
    return Planted(told, request.path, {}, spoiling, sign=f"limit {within:g} s")


def broken_page(params: Mapping[str, Any], ground: Ground) -> Planted:
    path = ground.requests[-1].path
    return Planted(f"{path} answers 500", path, {}, Spoiling(broken=_without_query(path)), sign="answered 500")


def _without_query(path: str) -> str:
    """The server in front tells addresses apart by their path."""
    return path.split("?", 1)[0]


def slow_under_load(params: Mapping[str, Any], ground: Ground) -> Planted:
    limit = judged_by(LoadParams.model_validate(params))
    delay = limit.bound / 1000 + MORE_SECONDS
    told = f"every answer takes {delay:g} s longer"
    return Planted(told, limit.metric, {}, Spoiling(slow={EVERY: delay}), sign=" ms, limit ")
