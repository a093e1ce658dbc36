"""The default checklist and risk register, and how a plan changes them."""

from typing import Any

import pytest

from releases.domain.defaults import CHECKLIST, RISKS, checklist_for, read_seconds, risks_for
from releases.enums import Requirement
from releases.errors import DomainError
from tests.factories import CHECKS, check

pytestmark = pytest.mark.django_db


def made(checks: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    document = {"checks": checks or {}, **more}
    return {item.key: item for item in checklist_for(document, source="staging", target="production")}


def test_each_requirement_has_items_and_each_risk_names_items_that_exist() -> None:
    assert {template.requirement for template in CHECKLIST} == set(Requirement)
    keys = {template.key for template in CHECKLIST}
    assert len(keys) == len(CHECKLIST)
    assert len(RISKS) == 7
    for risk in RISKS:
        assert risk.mitigations
        assert {key for _, items in risk.mitigations for key in items} <= keys
        assert risk.inherent[0] * risk.inherent[1] > risk.appetite >= risk.residual[0] * risk.residual[1]


def test_without_checks_nothing_falls_away_people_sign_instead() -> None:
    items = made()
    assert set(items) == {template.key for template in CHECKLIST if not template.only_checked}
    assert {key for key, item in items.items() if item.section} == {"recovery.rollback"}


def test_what_nobody_can_sign_by_looking_is_asked_where_the_plan_checks_it() -> None:
    assert "testing.parity" not in made()
    assert made({"same": check("parity")})["testing.parity"].section == "checks.same"
    assert "testing.parity" not in made({"same": check("parity", "production")})


def test_each_suite_is_an_item_of_its_own_and_two_checks_of_a_kind_do_not_hide_each_other() -> None:
    items = made({**CHECKS, "e2e": check("suite"), "audit-web": check("audit")})
    assert items["testing.unit"].section == "checks.unit"
    assert items["testing.e2e"].section == "checks.e2e"
    assert items["security.audit-audit"].section == "checks.audit"
    assert items["security.audit-audit-web"].section == "checks.audit-web"
    assert "security.audit" not in items


def test_two_items_of_one_key_are_refused_so_that_none_hides_the_other() -> None:
    with pytest.raises(DomainError, match=r"two items 'testing\.parity'.*another name"):
        made({"parity": check("suite"), "same": check("parity")})


def test_a_check_in_the_wrong_place_does_not_answer_the_item() -> None:
    items = made({"smoke": check("smoke", "production"), "backup": check("backup", "staging")})
    assert items["testing.smoke"].section == ""
    assert items["recovery.backup"].section == ""


def test_a_plan_changes_an_item_by_its_own_key_or_by_its_template() -> None:
    items = made(
        {**CHECKS, "e2e": check("suite")},
        checklist=[
            {"key": "testing.suite", "owner": "QA"},
            {"key": "testing.e2e", "title": "In a browser", "blocking": False, "valid_for": "3600s"},
        ],
    )
    assert {items["testing.unit"].owner, items["testing.e2e"].owner} == {"QA"}
    assert (items["testing.e2e"].title, items["testing.e2e"].blocking) == ("In a browser", False)
    assert items["testing.e2e"].valid_for == read_seconds("3600s")


def test_a_plan_adds_an_item_with_a_section_or_for_signature() -> None:
    items = made(
        CHECKS,
        checklist=[
            {"key": "testing.beta", "requirement": "testing", "title": "The beta group is content"},
            {"key": "testing.parity", "requirement": "testing", "title": "Alike", "section": "checks.drill"},
        ],
    )
    assert items["testing.beta"].section == ""
    assert (items["testing.parity"].section, items["testing.parity"].environment) == ("checks.drill", "staging")


def test_an_added_item_without_title_is_refused() -> None:
    with pytest.raises(DomainError, match=r"adds 'testing\.beta', which needs a requirement and a title"):
        made(checklist=[{"key": "testing.beta"}])


def test_a_plan_cannot_empty_a_requirement() -> None:
    off = [{"key": key, "blocking": False} for key in ("scalability.load", "scalability.plan")]
    with pytest.raises(DomainError, match="leaves nothing on the checklist that must be answered for Scalability"):
        made(checklist=off)


def test_mitigations_follow_templates_to_all_their_items() -> None:
    document = {"checks": {"unit": check("suite"), "e2e": check("suite")}}
    items = checklist_for(document, source="staging", target="production")
    unforeseen = next(risk for risk in risks_for(document, items) if risk.key == "unforeseen")
    tied = dict(unforeseen.mitigations)["A rehearsal as like production as can be"]
    assert tied == ("testing.unit", "testing.e2e", "testing.smoke")


def test_a_plan_changes_and_adds_risks() -> None:
    document = {
        "checks": {},
        "risks": [
            {"key": "privacy", "appetite": 4, "inherent_impact": 5},
            {
                "key": "vendor",
                "title": "The vendor fails",
                "inherent_likelihood": 2,
                "inherent_impact": 3,
                "residual_likelihood": 1,
                "residual_impact": 3,
            },
        ],
    }
    risks = {risk.key: risk for risk in risks_for(document, [])}
    assert (risks["privacy"].appetite, risks["privacy"].inherent) == (4, (3, 5))
    assert (risks["vendor"].residual, risks["vendor"].mitigations) == ((1, 3), ())
    with pytest.raises(DomainError, match="adds the risk 'war' without title"):
        risks_for({"risks": [{"key": "war"}]}, [])
