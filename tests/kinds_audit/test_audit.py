"""The kind audit, run for real by the engine: several looks, one verdict, never falsely green."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.storage import default_storage

from checks.errors import PlanError
from checks.models import Run
from checks.plan import parse
from releases.domain import environment as environments
from releases.models import Environment, Evidence
from tests.engine.support import check, log_text, run_section
from tests.factories import MINIMAL_PLAN, make_application, make_release
from tests.kinds_audit.site import PASSWORD, USER, serving
from tests.kinds_audit.test_look_at_headers import SOUND, serving_with_tls
from tests.kinds_audit.test_look_at_log_in import LOGIN

pytestmark = pytest.mark.django_db(transaction=True)


def audit(url: str, folder: Path, **params: Any) -> Run:
    """Publish a plan with this audit, make a release that runs in staging, and audit it."""
    places = {
        "staging": {"tier": "staging", "url": url, "secrets": {"AUDIT_USER": "user", "AUDIT_PASSWORD": "password"}},
        "production": {"tier": "production", "url": "http://production.invalid"},
    }
    plan = {"environments": places, "checks": {"audit": check("audit", params=params)}}
    application = make_application(plan=plan)
    application.plan_folder = str(folder)
    application.save(update_fields=["plan_folder"])
    for name, value in {"user": USER, "password": PASSWORD}.items():
        environments.set_secret(application=application, name=name, value=value, actor=None)
    release = make_release(application=application)
    environments.adopt_build(
        environment=Environment.objects.get(application=application, name="staging"),
        version=release.version,
        build_digest=release.build_digest,
        actor=None,
        reason="Put there by the test.",
    )
    return run_section(application, "checks.audit", release=release)


def test_a_sound_site_passes_and_a_flaw_says_no(tmp_path: Path, storage_folder: Path) -> None:
    with serving() as site:
        run = audit(site.url, tmp_path, headers={}, authentication={"login": LOGIN, "attempts": 8})
    assert run.state == "passed", log_text(run)
    assert [(tool["tool"], tool["status"]) for tool in run.result["tools"]] == [
        ("headers", "findings"), ("authentication", "ok"),
    ]  # fmt: skip
    assert run.result["figures"]["medium"] == 2
    assert "Up to 24 wrong passwords are tried on purpose" in run.result["left_behind"][0]
    assert PASSWORD not in log_text(run)
    with serving({"session-survives-log-out"}) as site:
        run = audit(site.url, tmp_path, authentication={"login": LOGIN, "attempts": 8})
    assert run.state == "failed", log_text(run)
    assert "high: A session goes on after the log-out (POST /logout/)" in run.summary
    kept = {artifact["name"]: artifact["key"] for artifact in run.result["artifacts"]}
    with default_storage.open(kept["audit.json"]) as file:
        assert json.load(file)[0]["found"][0]["rule"] == "session-survives-log-out"


def test_a_look_that_was_not_completed_blocks_and_says_why(tmp_path: Path, storage_folder: Path) -> None:
    with serving(password="Changed-since-9-then") as site:
        run = audit(site.url, tmp_path, headers={"pages": ["/"]}, authentication={"login": LOGIN})
    assert run.state == "errored", log_text(run)
    assert "1 of 2 looks could not be completed. authentication: The plan's account was not let in" in run.error
    assert "password has expired" in run.remedy
    # The others are shown all the same.
    assert [tool["status"] for tool in run.result["tools"]] == ["findings", "incomplete"]
    assert Evidence.objects.get(run_id=run.pk).verdict == "errored"


def test_what_was_found_is_told_before_what_could_not_be_looked_at(tmp_path: Path, storage_folder: Path) -> None:
    with serving({"session-survives-log-out"}) as site:
        run = audit(
            site.url, tmp_path, headers={"pages": ["/nowhere/"]}, authentication={"login": LOGIN, "attempts": 8}
        )
    assert run.state == "errored", log_text(run)
    assert run.error.startswith(
        "high: A session goes on after the log-out (POST /logout/). Besides, 1 of 2 looks could not be completed."
        " headers: /nowhere/ answers 404"
    ), run.error
    assert Evidence.objects.get(run_id=run.pk).summary.startswith("high: A session goes on")


def test_a_look_that_is_not_applicable_is_shown_with_its_reason_and_not_counted(
    tmp_path: Path, storage_folder: Path
) -> None:
    with serving() as site:
        run = audit(site.url, tmp_path, headers={}, tls={"not_applicable": "The proxy before production ends TLS."})
    assert run.state == "passed", log_text(run)
    assert run.result["figures"]["looks"] == 1
    assert run.result["tools"][0]["not_applicable"] == "The proxy before production ends TLS."
    assert [step.state for step in run.steps.all() if step.key == "tls"] == ["skipped"]


def test_the_plan_chooses_what_says_no(tmp_path: Path, storage_folder: Path) -> None:
    with serving() as site:
        run = audit(site.url, tmp_path, headers={}, fail_at="medium")
        assert (run.state, run.result["figures"]["blocking"]) == ("failed", 2)
        run = audit(site.url, tmp_path, headers={"least_score": 60})
        assert run.state == "failed"
        assert "50 points for headers, and the plan asks for 60" in run.summary


@pytest.mark.campaign
def test_an_authority_of_ones_own_is_read_where_the_plan_says(tmp_path: Path, storage_folder: Path) -> None:
    with serving_with_tls(tmp_path, SOUND) as (url, authority):
        home = Path(settings.GONOGO_HOME)
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(authority, home / "own.pem")
        for written in ("{GONOGO_HOME}/own.pem", "authority.pem", authority):
            run = audit(url, tmp_path, headers={}, authority=written)
            assert run.state == "passed", log_text(run)
        for written, why in (("../own.pem", "is not below the plan's folder"), ("nowhere.pem", "There is no file")):
            run = audit(url, tmp_path, headers={}, authority=written)
            assert (run.state, why in run.error) == ("errored", True), run.error


def plan_with(params: dict[str, Any], environment: str = "staging") -> str:
    return json.dumps({**MINIMAL_PLAN, "checks": {"audit": check("audit", environment, params=params)}})


def at_one_address(params: dict[str, Any]) -> str:
    places = {
        "staging": {"tier": "staging", "url": "https://shop.example/"},
        "production": {"tier": "production", "url": "https://shop.example:443"},
    }
    return json.dumps({**MINIMAL_PLAN, "environments": places, "checks": {"audit": check("audit", params=params)}})


def test_a_passive_look_may_be_made_at_productions_address() -> None:
    assert parse(at_one_address({"headers": {"port_80_closed": "The firewall drops it."}}))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (plan_with({}), "an audit looks at something"),
        (plan_with({"tls": {"not_applicable": "No TLS here."}}), "its only look is said to be not applicable"),
        (plan_with({"tls": {"port": 443, "not_applicable": "No TLS here."}}), "either at a port or not applicable"),
        (plan_with({"authentication": {"login": LOGIN}}, "production"), "an active look never runs in production"),
        (plan_with({"web": {}}, "production"), "an active look never runs in production"),
        (at_one_address({"web": {}}), "and staging has the address of production"),
        (plan_with({"web": {"modules": ["permanentxss", "sql"]}}), "permanentxss needs xss beside it"),
        (plan_with({"web": {"modules": ["ssrf"]}}), "Input should be 'backup'"),
        (plan_with({"authentication": {"login": {**LOGIN, "marker_text": ""}}}), "at least 2 characters"),
        (plan_with({"headers": {"port_80_closed": "Dropped."}}), "only beside an https url at port 443"),
    ],
)
def test_a_plan_that_cannot_be_audited_is_refused(text: str, problem: str) -> None:
    with pytest.raises(PlanError, match=problem):
        parse(text)
