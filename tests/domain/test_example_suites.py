"""The suites of both examples' plans: on the checklist, with coverage, and apart from loads where they have to be."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from checks.kinds.suite import SuiteParams
from checks.plan import Plan, parse
from releases.domain.defaults import checklist_for

EXAMPLES = Path(settings.BASE_DIR) / "examples"


def plan_of(name: str) -> Plan:
    return parse((EXAMPLES / name / "plan.yaml").read_text())


def suites(plan: Plan) -> dict[str, Any]:
    return {key: SuiteParams(**check.params) for key, check in plan.checks.items() if check.kind == "suite"}


@pytest.mark.parametrize("name", ["thinkincoin", "pretalx"])
def test_each_suite_has_an_item_of_its_own_on_the_checklist(name: str) -> None:
    plan = plan_of(name)
    specs = checklist_for(plan.model_dump(mode="json"), source="staging", target="production")
    sections = {spec.section for spec in specs if spec.template == "testing.suite"}
    assert suites(plan)
    assert sections == {f"checks.{key}" for key in suites(plan)}


@pytest.mark.parametrize("name", ["thinkincoin", "pretalx"])
def test_one_of_them_asks_for_coverage_and_every_one_runs_a_command(name: str) -> None:
    found = suites(plan_of(name)).values()
    assert any(each.coverage and (each.least_coverage or 0) > 50 for each in found)
    assert all(each.command is not None for each in found)


def test_what_asks_staging_itself_is_alone_there_and_what_has_its_own_database_is_not() -> None:
    found = suites(plan_of("pretalx"))
    assert {key: each.alone for key, each in found.items()} == {"journeys": True, "integration": False}


def test_pretalx_has_the_tests_that_its_plan_runs() -> None:
    folder = EXAMPLES / "pretalx" / "tests"
    counted = {
        part: sum(file.read_text().count("    def test_") for file in (folder / part).glob("test_*.py"))
        for part in ("integration", "staging")
    }
    assert counted["integration"] >= 25
    assert counted["staging"] >= 5
