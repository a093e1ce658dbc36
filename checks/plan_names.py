"""Whether the names in a plan point at something: environments, checks, sections, steps."""

from typing import TYPE_CHECKING

from pydantic import ValidationError

from checks.kinds.base import get_kind
from releases.enums import Tier

if TYPE_CHECKING:
    from checks.plan import CheckSection, Plan


def cross_check(plan: "Plan") -> list[tuple[tuple[str | int, ...], str]]:
    """(place in the tree, message) for each name that points at nothing and each thing that does not go together."""
    problems: list[tuple[tuple[str | int, ...], str]] = []
    names = ", ".join(plan.environments)
    for key, check in plan.checks.items():
        if check.environment not in plan.environments:
            problems.append((("checks", key, "environment"), f"there is no environment {check.environment!r}: {names}"))
        problems += _check_params(key, check, plan)
    for index, probe in enumerate(plan.probes):
        if probe.environment not in plan.environments:
            problems.append(
                (("probes", index, "environment"), f"there is no environment {probe.environment!r}: {names}")
            )
        elif not plan.environments[probe.environment].url:
            problems.append((("probes", index, "environment"), f"environment {probe.environment!r} has no url"))
    if plan.deploy.backup and getattr(plan.checks.get(plan.deploy.backup), "kind", "") != "backup":
        problems.append((("deploy", "backup"), f"there is no check {plan.deploy.backup!r} of kind backup"))
    if plan.rollback.restore_backup and not plan.deploy.backup:
        problems.append((("rollback", "restore_backup"), "needs deploy.backup, so that there is something to restore"))
    problems += _check_steps(plan) + _check_refresh(plan)
    keys = [case.key for case in plan.acceptance.cases] if plan.acceptance else []
    problems += [
        (("acceptance", "cases", index, "key"), f"two cases are called {key!r}")
        for index, key in enumerate(keys)
        if key in keys[:index]
    ]
    for index, item in enumerate(plan.checklist):
        if item.section and item.section not in {"deploy", "rollback"} | {f"checks.{key}" for key in plan.checks}:
            problems.append((("checklist", index, "section"), f"there is no section {item.section!r}"))
    return problems


def _check_steps(plan: "Plan") -> list[tuple[tuple[str | int, ...], str]]:
    problems: list[tuple[tuple[str | int, ...], str]] = []
    refreshing = plan.refresh.before + plan.refresh.after if plan.refresh else []
    reserved = {"backup", "restore", "smoke"}
    for where, steps, own in (
        ("deploy", plan.deploy.steps, reserved),
        ("rollback", plan.rollback.before + plan.rollback.steps, reserved),
        ("refresh", refreshing, {"look", "compare", "clone", "mask", "prove", "carry", "swap"}),
    ):
        keys = [step.key for step in steps]
        ours = sorted(own.intersection(keys))
        twice = sorted({key for key in keys if keys.count(key) > 1})
        at: tuple[str | int, ...] = (where,) if where == "refresh" else (where, "steps")
        problems += [(at, f"{key!r} is a step that the program adds itself; rename it") for key in ours]
        problems += [(at, f"two steps are called {key!r}") for key in twice]
        moves = [step.transition for step in steps if step.transition is not None]
        problems += [
            (at, f"there is no check {key!r} of kind transition")
            for key in moves
            if getattr(plan.checks.get(key), "kind", "") != "transition"
        ]
        if len(moves) > 1:
            problems.append((at, "one transition at most; its mapping may have many tables"))
        if moves and where == "refresh":
            problems.append((at, "a refresh moves no rows of its own; leave the transition to the deploy"))
    return problems


def _check_refresh(plan: "Plan") -> list[tuple[tuple[str | int, ...], str]]:
    refresh = plan.refresh
    if refresh is None:
        return []
    problems: list[tuple[tuple[str | int, ...], str]] = []
    for name in ("environment", "source"):
        if (value := getattr(refresh, name)) not in plan.environments:
            names = ", ".join(plan.environments)
            problems.append((("refresh", name), f"there is no environment {value!r}: {names}"))
    place = plan.environments.get(refresh.environment)
    if place is not None and place.tier is Tier.PRODUCTION:
        problems.append((("refresh", "environment"), "a refresh replaces all data; it may not run in production"))
    if refresh.environment == refresh.source:
        problems.append((("refresh", "source"), "an environment cannot be refreshed from itself"))
    if not plan.privacy.inventory:
        problems.append((("refresh",), "needs privacy.inventory: without it nothing says what has to be masked"))
    return problems


def _check_params(key: str, check: "CheckSection", plan: "Plan") -> list[tuple[tuple[str | int, ...], str]]:
    try:
        kind = get_kind(check.kind)
    except KeyError as error:
        return [(("checks", key, "kind"), str(error.args[0]))]
    if not kind.is_check:
        return [(("checks", key, "kind"), f"{check.kind} is not a check; it has a section of its own")]
    try:
        params = kind.Params.model_validate(check.params)
    except ValidationError as error:
        return [(("checks", key, "params", *problem["loc"]), problem["msg"]) for problem in error.errors()]
    unfit = kind.problems(plan, params, check.environment)
    if unfit:
        return [(("checks", key, "params", *loc), message) for loc, message in unfit]
    environment = plan.environments.get(check.environment)
    if environment and environment.tier not in kind.tiers:
        return [(("checks", key, "environment"), f"{check.kind} may not run in the tier {environment.tier.value}")]
    return []
