"""Faults that active looks have to find: the environment is neither attacked for them nor filled with made-up data."""

from typing import Any

import pytest

from checks.models import Finding
from tests.engine.support import check, log_text
from tests.kinds_audit.site import Site, serving
from tests.kinds_audit.test_look_at_log_in import LOGIN, SIGN_UP
from tests.kinds_deploy.gate_world import World

pytestmark = pytest.mark.django_db(transaction=True)


def audited(world: World, site: Site, fault: str, **looks: Any) -> tuple[str, dict[str, Any], str]:
    """State of the run, what it says of the fault, and its log; staging is the site."""
    secrets = {"AUDIT_USER": "user", "AUDIT_PASSWORD": "password"}
    pair = {"staging": world.pair.source, "production": world.pair.target}
    places: dict[str, Any] = {
        name: {"tier": name, "variables": {"DATABASE_URL": address.url()}} for name, address in pair.items()
    }
    places["staging"] |= {"url": site.url, "secrets": secrets}
    places["production"] |= {"url": world.production.url}
    run = world.run(
        more={"audit": check("audit", params=looks)}, plan={"environments": places}, faults=[fault],
    )  # fmt: skip
    (row,) = run.result["faults"]
    assert not Finding.objects.exists()
    return run.state, row, log_text(run)


def test_a_session_that_goes_on_after_the_log_out_is_caught_and_ended_afterwards(world: World) -> None:
    with serving() as site:
        looks = {"login": LOGIN, "attempts": 8, "sign_up": SIGN_UP, "forms": ["/settings/"]}
        state, row, told = audited(world, site, "living-session", authentication=looks)
        assert (state, row["verdict"], row["named"]) == ("passed", "caught", "session-survives-log-out"), (row, told)
        assert (row["without"]["said"], row["with"]["said"]) == ("passed", "failed")
        assert not any(site.wrong.values()), "a wrong password was tried"
        assert len(site.accounts) == 1, "an account was left behind"
        assert not site.sessions, "a session was left behind"
        assert site.seen.count("POST /logout/") == 2


def test_where_nobody_says_how_to_log_out_no_session_is_kept_alive(world: World) -> None:
    with serving() as site:
        looks = {"login": {**LOGIN, "log_out": ""}}
        state, row, _ = audited(world, site, "living-session", authentication=looks)
    assert (state, row["verdict"]) == ("errored", "untested")
    assert row["why"] == "not tested, because the plan's audit does not say where people log out (log_out)"


def test_a_log_in_that_breaks_proves_nothing(world: World) -> None:
    with serving(password="Changed-since-9-then") as site:
        state, row, _ = audited(world, site, "living-session", authentication={"login": LOGIN})
    assert (state, row["verdict"]) == ("errored", "unclear")
    assert "The plan's account was not let in" in row["why"]


@pytest.mark.campaign
def test_a_page_that_runs_what_its_address_brings_is_caught_and_the_environment_is_not_asked(world: World) -> None:
    with serving() as site:
        looks = {"login": LOGIN, "exclude": ["/settings/"], "least_pages": 10}
        state, row, told = audited(world, site, "script-in-a-page", web=looks)
        assert [seen for seen in site.seen if seen != "GET /"] == [], "the environment was scanned"
    assert (state, row["verdict"], row["named"]) == ("passed", "caught", "/gonogo-planted"), (row, told)
    assert (row["without"]["said"], row["with"]["said"]) == ("passed", "failed")
    assert "runs what an address brings (GET /gonogo-planted, parameter q)" in row["with"]["summary"]


def test_a_scan_that_does_not_look_for_scripts_is_not_shown_one(world: World) -> None:
    with serving() as site:
        state, row, _ = audited(world, site, "script-in-a-page", web={"modules": ["sql"]})
    assert (state, row["verdict"]) == ("errored", "untested")
    assert row["why"] == "not tested, because the plan's scan does not look for scripts in pages (xss)"
