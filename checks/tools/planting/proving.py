"""Which of a plan's checks a test of the gate has proven; the others are named, so that nobody takes them for it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from checks.plan import CheckSection, Plan
from checks.tools.planting.fault import in_a_sentence, not_tested
from checks.tools.planting.faults import FAULTS, NOT_PLANTED

Rows = list[Mapping[str, Any]]


def of_plan(plan: Plan, told: Iterable[Mapping[str, Any]], looks: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every check of the plan but tests of the gate, an audit by each of its looks (``looks``: their titles).

    Then what else the plan does and no fault is planted for. ``state``: proven, missed, warned, unclear or untried,
    with ``why``. ``told``: what was found of each fault.
    """
    told = list(told)
    return [
        row
        for key, check in plan.checks.items() if check.kind != "gate_test"
        for row in _rows(plan, f"checks.{key}", check, told, looks)
    ] + [
        {"section": section, "title": section.capitalize(), "kind": section, "look": "", "state": "untried",
         "why": not_tested(reason)}
        for section, reason in NOT_PLANTED.items() if getattr(plan, section, None) is not None
    ]  # fmt: skip


def _rows(
    plan: Plan, section: str, check: CheckSection, told: Rows, looks: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    plain = {"section": section, "title": check.title, "kind": check.kind}
    if check.kind != "audit":
        yield {**plain, "look": "", **_state(plan, section, check.kind, told, "")}
        return
    for look, title in looks.items():
        if check.params.get(look) is not None:
            yield {**plain, "look": title, **_state(plan, section, check.kind, told, look)}


def _state(plan: Plan, section: str, kind: str, told: Rows, look: str) -> dict[str, str]:
    alike = [row for row in told if row["kind"] == kind and row["look"] == look]
    own = [row for row in alike if row["section"] == section]
    by = {
        verdict: [row for row in own if row["verdict"] == verdict]
        for verdict in ("missed", "caught", "warned", "unclear", "untested")
    }
    if by["missed"]:
        return {"state": "missed", "why": f"did not say no to: {_titles(by['missed'])}"}
    beside = "".join(
        f"; {words}: {_titles(by[verdict])}"
        for verdict, words in (("warned", "would only warn of"), ("unclear", "not clear")) if by[verdict]
    )  # fmt: skip
    if by["caught"]:
        return {"state": "proven", "why": f"said no to: {_titles(by['caught'])}{beside}"}
    if by["unclear"]:
        return {"state": "unclear", "why": by["unclear"][0]["why"]}
    if by["warned"]:
        return {"state": "warned", "why": by["warned"][0]["why"]}
    if by["untested"]:
        return {"state": "untried", "why": by["untested"][0]["why"]}
    return {"state": "untried", "why": not_tested(_why_untried(plan, kind, look, alike))}


def _why_untried(plan: Plan, kind: str, look: str, alike: Rows) -> str:
    if not any(fault.kind == kind and fault.look == look for fault in FAULTS):
        return NOT_PLANTED.get(kind, "no fault is known that could be planted for it")
    elsewhere = next((row["section"] for row in alike if row["section"]), "")
    if elsewhere:
        return f"the faults of this kind were shown to another check of it: {plan.check(elsewhere).title}"
    return "this run's parameters leave its faults out"


def _titles(rows: Rows) -> str:
    return ", ".join(in_a_sentence(row["title"]) for row in rows)
