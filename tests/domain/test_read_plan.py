"""What the text of a plan may do to the program that reads it, and what its sections depend on."""

import json
import time
from typing import Any

import pytest
from django.urls import reverse

from checks.errors import PlanError
from checks.plan import MAX_PLAN_BYTES, Plan, parse, section_digests
from checks.publishing import publish
from releases.errors import NotAllowed
from tests.factories import MINIMAL_PLAN, Team, check, make_application, make_team


def tree(**more: Any) -> dict[str, Any]:
    return {**MINIMAL_PLAN, **more}


def test_a_long_text_is_refused_soon() -> None:
    text = "a: b\n" * (MAX_PLAN_BYTES // 50)
    began = time.monotonic()
    with pytest.raises(PlanError):
        parse(text)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "lines",
    [
        'description: &a "x"\ntitle: *a\n',
        '"description": &a "x"\n"title": *a\n',
        "'description': &1 x\n'title': *1\n",
        "description: !!str &a x\n",
    ],
)
def test_anchors_and_aliases_are_refused_wherever_they_stand(lines: str) -> None:
    with pytest.raises(PlanError, match="anchors and aliases"):
        parse(f"application: example\n{lines}")


@pytest.mark.parametrize("text", ["description: Search & rescue\n", "description: '&a and *a'\n", "# - &a\n"])
def test_a_sign_that_is_no_anchor_is_none(text: str) -> None:
    with pytest.raises(PlanError, match="environments: Field required"):
        parse(f"application: example\n{text}")


@pytest.mark.parametrize("length", ["99999999999999999d", "9" * 400 + "h"])
def test_a_duration_beyond_all_measure_has_a_place(length: str) -> None:
    with pytest.raises(PlanError, match="duration"):
        parse(json.dumps(tree(watch={"duration": length})))


def test_a_smoke_check_without_requests_depends_on_those_of_the_deploy() -> None:
    checks = {"smoke": check("smoke"), "own": check("smoke", params={"requests": [{"path": "/"}]})}
    deploy = MINIMAL_PLAN["deploy"]
    before = section_digests(Plan.model_validate(tree(checks=checks)))
    changed = {**deploy, "smoke": [{"path": "/", "status": 404}]}
    after = section_digests(Plan.model_validate(tree(checks=checks, deploy=changed)))
    assert before["checks.smoke"] != after["checks.smoke"]
    assert before["checks.own"] == after["checks.own"]


@pytest.mark.django_db
def test_a_plan_of_who_may_not_publish_is_not_even_read(client: Any) -> None:
    application = make_application()
    team: Team = make_team(application)
    with pytest.raises(NotAllowed, match="role release manager or administrator"):
        publish(application=application, text="no: [plan", author=team.viewer)
    client.force_login(team.viewer)
    answer = client.post(reverse("checks:plan_new", args=[application.slug]), {"text": "no: [plan"})
    assert "role release manager or administrator" in answer.content.decode()
