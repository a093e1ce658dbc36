"""What the text of a plan may do to the program that reads it, and what its sections depend on."""

import json
from typing import Any

import pytest
from django.urls import reverse

from checks.errors import PlanError
from checks.plan import Plan, parse, section_digests
from checks.plan_text import MAX_PLAN_BYTES, PlanText
from checks.publishing import publish
from releases.errors import NotAllowed
from tests.factories import MINIMAL_PLAN, Team, check, make_application, make_team


def tree(**more: Any) -> dict[str, Any]:
    return {**MINIMAL_PLAN, **more}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#" * (MAX_PLAN_BYTES + 1), "line 1, column 1: : the plan is longer than 1,000,000 bytes"),
        ("a: b\n" * 20_000, "line 2, column 1: : duplicate key 'a'"),
        ("a: " + "[" * 400_000, "line 1, column 104: : this lies more than 100 levels deep"),
        ("a: 1\nb: [1, 2", "line 2, column 4: : did not find expected ',' or ']'"),
        ("a: \x07", "not YAML"),
        ("a: 1\nb: \ud800", "line 2, column 4: : this character stands for nothing"),
        ("a: 1\n---\nb: 1\n", "line 2, column 1: : a plan is one document"),
        ("a: 1\nb: !!python/object:os.system x\n", "line 2, column 4: : the tag tag:yaml.org,2002:python/object"),
        ("a: 1\n? [b]\n: 1\n", "line 2, column 3: : a key is a single word"),
        ("a: 1\nb: " + "9" * 5000, "line 2, column 4: : this number has too many digits"),
        ("", "a plan is a mapping"), ("- a\n", "a plan is a mapping"),
    ],
    ids=["long", "twice", "deep", "unfinished", "bell", "half a character", "two documents", "tag", "key", "number",
         "nothing", "list"],
)  # fmt: skip
def test_what_is_no_plan_at_all_is_refused_at_its_place(text: str, said: str) -> None:
    with pytest.raises(PlanError) as refused:
        parse(text)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("1:30", "1:30"), ("2026-11-30", "2026-11-30"), ("true", True), ("False", False),
        ("~", None), ("", None), ("null", None), ("017", 17), ("0o17", 15), ("0x1F", 31), ("-3", -3), ("1.5", 1.5),
        ("1e3", 1000.0), ("'7'", "7"), ('"true"', "true"), ("!!str 7", "7"), ("! 7", "7"), ("|\n  7\n", "7\n"),
        ("[a, {b: 1}]", ["a", {"b": 1}]), ("-.inf", float("-inf")),
    ],
)  # fmt: skip
def test_values_mean_what_yaml_1_2_says(text: str, value: Any) -> None:
    assert PlanText(f"a: {text}").tree == {"a": value}


def test_every_value_knows_where_it_stands() -> None:
    written = PlanText("checks:\n  one:\n    list:\n      - a\n      - {b: c}\n")
    assert written.at(("checks", "one", "list", 1, "b")) == (5, 10)
    assert written.at(("checks", "one", "list", 0)) == (4, 9)
    assert written.at(("checks", "one", "missing")) == (2, 3)
    assert written.at(("nothing",)) == (1, 1)


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
