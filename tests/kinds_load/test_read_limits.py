"""Limits as expressions, and the plan that must allow a load before it is published."""

from typing import Any

import pytest

from checks.errors import PlanError
from checks.plan import parse, section_digests
from checks.tools.loading.limits import parse as read

PLAN = """
version: 1
application: shop
title: Shop
environments:
  staging: {{tier: staging, url: "{url}"}}
  production: {{tier: production, url: "http://127.0.0.1:8"}}
checks:
  load:
    kind: load
    title: Load
    environment: {environment}
    params: {params}
deploy:
  steps: [{{key: switch, title: Switch, category: back_end, command: {{argv: ["true"]}}}}]
  smoke: [{{path: /}}, {{path: /courses/}}]
rollback:
  steps: [{{key: back, title: Back, category: back_end, command: {{argv: ["true"]}}}}]
  smoke: [{{path: /}}]
load: {load}
"""
CONSENT = "{consent: {staging: {by: Operations, on: 2026-01-01, at_most: 50}}}"


def plan(
    params: str = "{}", *, environment: str = "staging", load: str = CONSENT, url: str = "http://127.0.0.1:9"
) -> Any:
    return parse(PLAN.format(params=params, environment=environment, load=load, url=url))


@pytest.mark.parametrize(
    ("text", "metric", "bound", "endpoint"),
    [
        ("p95 < 400ms", "p95", 400, ""),
        ("p99.9<1.5s", "p99.9", 1500, ""),
        ("median <= 0.2s", "median", 200, ""),
        ("errors < 1%", "errors", 0.01, ""),
        ("requests_per_second > 50", "requests_per_second", 50, ""),
        ("/courses/: p95 < 400ms", "p95", 400, "/courses/"),
        ("GET /a b: max < 5s", "max", 5000, "GET /a b"),
    ],
)
def test_what_an_expression_means(text: str, metric: str, bound: float, endpoint: str) -> None:
    limit = read(text)
    assert (limit.metric, limit.bound, limit.endpoint) == (metric, pytest.approx(bound), endpoint)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("p95", "is no limit; write p95 < 400ms"),
        ("p95 < 400", "a time needs its unit: p95 < 400ms or 400s"),
        ("p95 < 400%", "a time needs its unit"),
        ("p95 > 400ms", "would be kept by a failing application; write p95 < …"),
        ("errors > 1%", "would be kept by a failing application"),
        ("errors < 0.01", "errors are a share: write errors < 1%"),
        ("errors < 101%", "errors cannot be over 100%"),
        ("requests_per_second < 50", "write requests_per_second > …"),
        ("p0 < 1s", "there is no figure 'p0'; there are: p50, p95"),
        ("speed < 1s", "there is no figure 'speed'"),
    ],
)
def test_a_wrong_expression_says_what_is_right(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("…", ".").replace("(", r"\(")):
        read(text)


def test_a_load_with_consent_is_published() -> None:
    assert plan().load.consent["staging"].at_most == 50


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"load": "{}"}, "nobody consented to load on staging: record load.consent.staging"),
        ({"params": "{steps: [60]}"}, "Operations consented to at most 50 users on staging"),
        ({"environment": "production", "load": CONSENT.replace("staging", "production")}, "needs production: true"),
        ({"load": CONSENT.replace("at_most", "until: 2026-02-01, at_most")}, "ended on 2026-02-01"),
        (
            {"load": CONSENT.replace("2026-01-01", "2999-01-01")},
            "of Operations to load on staging begins on 2999-01-01",
        ),
        ({"url": "http://127.0.0.1:8/"}, "staging has the address of production, which is production"),
        ({"params": '{limits: ["p95 < 400"]}'}, "a time needs its unit"),
        ({"params": '{limits: ["/cart: p95 < 400ms"]}'}, "no request is called '/cart'; there are: /, /courses/"),
        ({"params": "{steps: [5, 2]}"}, "from the least load to the most"),
        ({"params": "{steps: [1.5]}"}, "whole users"),
        ({"params": "{hold: 5s}"}, "at least 3s longer than settle"),
        ({"params": "{locustfile: ../x.py}"}, "a path below the plan's folder"),
        ({"params": "{compare: {load: 5, runs: 3}}"}, "greater than or equal to 4"),
        ({"params": "{compare: {load: 5, addresses: [/nowhere/]}}"}, "no request is called '/nowhere/'"),
        ({"params": "{compare: {load: 5, ratio: 1.01}}"}, "greater than or equal to 1.05"),
        ({"params": "{compare: {load: 5, environment: staging}}"}, "is not compared with itself"),
        ({"params": "{compare: {load: 5, environment: production}}"}, "nobody consented to load on production"),
    ],
)
def test_a_plan_that_may_not_or_cannot_be_loaded_is_refused(given: dict[str, str], reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        plan(**given)


def test_production_with_its_switch_is_published() -> None:
    load = CONSENT.replace("staging", "production").replace("at_most", "production: true, at_most")
    assert plan(environment="production", load=load)


def test_a_change_of_the_expected_traffic_asks_for_new_evidence() -> None:
    more = CONSENT[:-1] + ", expected: {requests_per_second: 20}}"
    assert section_digests(plan())["checks.load"] != section_digests(plan(load=more))["checks.load"]
