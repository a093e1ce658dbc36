"""Log-in and sessions: each planted flaw is found, and its safe twin is not."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from checks.tools.auditing import sessions
from checks.tools.auditing.authentication import AuthenticationLook, AuthenticationSection
from checks.tools.auditing.said import RoutePlace, Severity, ToolReport, ToolStatus
from tests.kinds_audit.site import FLAWS, IDLE_SECONDS, VARIANTS, serving
from tests.kinds_audit.support import looked, rules

LOGIN = {
    "page": "/login/", "user": "user", "password": "password", "marker": "/account/", "marker_text": "Signed in as",
    "log_out": "/logout/",
}  # fmt: skip
SIGN_UP = {"page": "/sign-up/", "fields": {"email": "audit-{random}@example.org"}}
#: Under which name a flaw is told, where it is not its own.
TOLD = {
    "planted-session": "session-fixation", "planted-session-with-its-token": "session-fixation",
    "accounts-told-apart-by-redirect": "accounts-told-apart",
    "no-limit-behind-random-words": "no-limit-of-wrong-passwords",
}  # fmt: skip


def look(url: str, folder: Path, **more: Any) -> ToolReport:
    section = {
        "login": LOGIN, "attempts": 12, "forms": ["/settings/"], "sign_up": SIGN_UP, "reset": {"page": "/reset/"},
        **more,
    }  # fmt: skip
    return looked(AuthenticationLook(AuthenticationSection.model_validate(section)), url, folder)


#: After which the look expects that an unused session has ended.
IDLE = {"idle_limit": f"{IDLE_SECONDS:g}s"}


@pytest.fixture(autouse=True)
def _short_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "IDLE_MARGIN_SECONDS", 0.5)


@pytest.mark.parametrize("flaw", sorted(FLAWS))
def test_a_planted_flaw_is_found_and_nothing_else(flaw: str, tmp_path: Path) -> None:
    with serving({flaw}) as site:
        report = look(site.url, tmp_path, **(IDLE if flaw == "session-survives-idleness" else {}))
    assert report.status is ToolStatus.FINDINGS, report.why
    beside = {"log-in-can-be-forged"} if flaw == "password-in-address" else set()
    assert rules(report) - beside == {TOLD.get(flaw, flaw)}
    assert all(found.cwe and found.owasp and found.asvs and found.remedy for found in report.found)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_safe_twin_is_clean(variant: str, tmp_path: Path) -> None:
    with serving(variant=variant) as site:
        report = look(site.url, tmp_path, **(IDLE if variant == "idle-sessions-end" else {}))
        assert len([account for account in site.accounts if account.startswith("audit-")]) == 1
    assert (report.status, rules(report), report.why) == (ToolStatus.OK, set(), "")
    # A limit by address comes before the speed of answers could be compared, so that was not asked.
    assert report.looked_at == {"idle-sessions-end": 19, "limit-by-address": 17}.get(variant, 18)


@pytest.mark.parametrize("mishap", ["502", "drop"])
def test_a_site_that_breaks_while_passwords_are_guessed_has_shown_no_limit(mishap: str, tmp_path: Path) -> None:
    with serving({"no-limit-of-wrong-passwords"}) as site:
        site.mishap = (14, mishap)
        report = look(site.url, tmp_path, sign_up=None, reset=None, forms=[])
    assert report.status is ToolStatus.INCOMPLETE
    assert ("/login/ answers 502" if mishap == "502" else "No answer from") in report.why
    assert not report.covered


@pytest.mark.parametrize(
    ("busy", "status", "why"),
    [
        (range(4, 100), ToolStatus.INCOMPLETE, "also for a name that was never tried"),
        (range(4, 8), ToolStatus.FINDINGS, ""),
    ],
    ids=["to the end", "for a moment"],
)
def test_a_server_that_becomes_slow_for_everybody_has_shown_no_limit(
    busy: range, status: ToolStatus, why: str, tmp_path: Path
) -> None:
    with serving({"no-limit-of-wrong-passwords"}) as site:
        site.busy = busy
        report = look(site.url, tmp_path, questions=["limit"], sign_up=None)
    assert report.status is status
    assert why in report.why
    assert rules(report) == (set() if why else {"no-limit-of-wrong-passwords"})


def test_a_page_that_is_broken_is_not_one_that_shows_nobody_logged_in(tmp_path: Path) -> None:
    with serving() as site:
        site.broken_for_strangers = True
        report = look(site.url, tmp_path)
    assert report.status is ToolStatus.INCOMPLETE
    assert "/account/ answers 502, which says nothing of the log-in" in report.why


def test_a_name_that_is_refused_at_once_is_no_proof_that_names_are_answered_alike(tmp_path: Path) -> None:
    with serving() as site:
        site.refuses_unknown = True
        report = look(site.url, tmp_path)
    assert report.status is ToolStatus.INCOMPLETE
    assert "The very first wrong password is answered with 403" in report.why


def test_what_the_plan_does_not_name_is_told_as_not_tried(tmp_path: Path) -> None:
    with serving() as site:
        report = look(site.url, tmp_path, sign_up=None, reset=None, login={**LOGIN, "log_out": ""})
    assert (report.status, len(report.notes)) == (ToolStatus.OK, 4)
    for left in ("log_out", "idle_limit", "sign_up", "reset"):
        assert any(f"({left}), so that was not tried" in note for note in report.notes), left


def test_only_the_questions_that_the_plan_names_are_asked_and_the_others_are_told(tmp_path: Path) -> None:
    with serving({"session-survives-log-out", "weak-passwords-accepted"}) as site:
        report = look(site.url, tmp_path, questions=["log_out"])
        assert not any(site.wrong.values())
        assert len(site.accounts) == 1
    assert (rules(report), report.looked_at) == ({"session-survives-log-out"}, 1)
    assert report.notes[0].startswith("The plan leaves out: the form, the session, idle sessions")
    section = AuthenticationSection.model_validate({"login": LOGIN, "sign_up": SIGN_UP, "questions": ["log_out"]})
    assert AuthenticationLook(section).before == ""


def test_a_form_that_can_be_forged_is_milder_where_the_cookie_does_not_travel(tmp_path: Path) -> None:
    with serving({"form-can-be-forged"}) as site:
        mild = look(site.url, tmp_path).found
    with serving({"form-can-be-forged", "session-cookie-without-samesite"}) as site:
        grave = [found for found in look(site.url, tmp_path).found if found.rule == "form-can-be-forged"]
    assert [(found.severity, found.place) for found in mild] == [(Severity.MEDIUM, RoutePlace("POST", "/settings/"))]
    assert grave[0].severity is Severity.HIGH


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"page": "/nowhere/"}, "answers 404"),
        ({"page": "/"}, "shows no form with a user and one password"),
        ({"marker": "/", "marker_text": "Welcome"}, "to somebody who is not logged in as well"),
        ({"log_out": "/nowhere/"}, "/nowhere/ logs nobody out"),
    ],
)
def test_a_log_in_that_does_not_fit_is_no_pass(changes: dict[str, str], why: str, tmp_path: Path) -> None:
    with serving() as site:
        report = look(site.url, tmp_path, login={**LOGIN, **changes})
    assert report.status is ToolStatus.INCOMPLETE
    assert why in report.why


@pytest.mark.parametrize(
    ("reset", "why"),
    [
        ({"page": "/nowhere/"}, "/nowhere/ answers 404"),
        ({"page": "/login/"}, "shows no form with one field for a name"),
        ({"page": "/reset/", "field": "name"}, "shows no form with one field for a name"),
    ],
)
def test_a_reset_that_does_not_fit_is_no_pass(reset: dict[str, str], why: str, tmp_path: Path) -> None:
    with serving() as site:
        report = look(site.url, tmp_path, reset=reset)
    assert report.status is ToolStatus.INCOMPLETE
    assert why in report.why


def test_a_wait_is_short_enough_to_be_waited_for() -> None:
    with pytest.raises(ValidationError, match="30 minutes at most"):
        AuthenticationSection.model_validate({"login": LOGIN, "idle_limit": "2h"})


def test_an_expired_password_is_no_pass(tmp_path: Path) -> None:
    with serving(password="Another-one-since-8") as site:
        report = look(site.url, tmp_path)
    assert report.status is ToolStatus.INCOMPLETE
    assert "The plan's account was not let in: /login/ answered 200" in report.why
    assert "its password has expired" in report.remedy


def test_refusals_of_weak_passwords_prove_nothing_where_a_strong_one_is_refused(tmp_path: Path) -> None:
    with serving() as site:
        report = look(site.url, tmp_path, sign_up={**SIGN_UP, "fields": {"email": "no address"}})
    assert report.status is ToolStatus.INCOMPLETE
    assert "refused a strong password as well" in report.why


def test_a_site_that_is_gone_is_no_pass(tmp_path: Path) -> None:
    with serving() as site:
        url = site.url
    report = look(url, tmp_path)
    assert report.status is ToolStatus.INCOMPLETE
    assert "No answer from 127.0.0.1" in report.why
