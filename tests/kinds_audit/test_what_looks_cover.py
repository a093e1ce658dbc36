"""What a completed look went over: what it did not look at stays open, and what was mended there is resolved."""

import json
from pathlib import Path
from typing import Any

import pytest

from checks.findings import fingerprints
from checks.findings.coverage import looks
from checks.tools.auditing import sarif, web
from checks.tools.auditing.looking import Seen
from checks.tools.auditing.said import (
    Covered,
    Family,
    FilePlace,
    Found,
    PackagePlace,
    Place,
    RoutePlace,
    Severity,
    SystemPlace,
    ToolReport,
    ToolStatus,
)
from tests.advisories.support import imported
from tests.findings.test_sarif import RULE, log
from tests.kinds_audit.site import serving as serving_site
from tests.kinds_audit.test_look_at_headers import COOKIE, sent
from tests.kinds_audit.test_look_at_headers import look as look_at_headers
from tests.kinds_audit.test_look_at_log_in import look as look_at_log_in
from tests.kinds_audit.test_look_at_packages import KNOWN
from tests.kinds_audit.test_look_at_packages import look as look_at_packages
from tests.kinds_audit.test_look_at_source import TWINS
from tests.kinds_audit.test_look_at_source import look as look_at_source
from tests.kinds_deploy.local_server import LocalServer, Reply, serving


def resolves(report: ToolReport, family: Family, rule: str, place: Place, tool: str = "") -> bool:
    """Whether an earlier finding of the same tool would be resolved by a report that does not name it any more."""
    assert rule not in {found.rule for found in report.found if found.place == place}
    document = fingerprints.place_document(place)
    return any(
        look.went_to(family=family.value, names={rule}, place=document, tools=[tool or report.tool])
        for look in looks([report])
    )


def done(tool: str, seen: Seen) -> ToolReport:
    status = ToolStatus.FINDINGS if seen.found else ToolStatus.OK
    return ToolReport(tool, "1", status, 1.0, tuple(seen.found), tuple(seen.covered), seen.looked_at, seen.unit)


def test_a_scan_that_saw_a_page_by_get_says_nothing_of_its_form() -> None:
    pages = [RoutePlace("GET", "/search"), RoutePlace("POST", "/talks/7/")]
    covered = web.covered(pages, ["xss", "methods", "htaccess"])
    report = done("wapiti", Seen([], covered, 2, "pages"))
    xss = "Reflected Cross Site Scripting"
    assert resolves(report, Family.WEB, xss, RoutePlace("GET", "/search/", "q"))
    assert not resolves(report, Family.WEB, xss, RoutePlace("POST", "/search", "q"))
    assert resolves(report, Family.WEB, xss, RoutePlace("POST", "/talks/9", "title"))
    assert not resolves(report, Family.WEB, "SQL Injection", RoutePlace("GET", "/search", "q"))
    # What is wrong whatever the method is kept under a method by which no page is found.
    assert resolves(report, Family.WEB, "HTTP Methods", RoutePlace("OPTIONS", "/search"))
    assert resolves(report, Family.WEB, "Htaccess Bypass", RoutePlace("ABC", "/search"))


def test_another_page_with_a_form_says_nothing_of_the_earlier_one(tmp_path: Path) -> None:
    with serving_site() as site:
        report = look_at_log_in(site.url, tmp_path)
    for path, resolved in (("/settings/", True), ("/account/password/", False)):
        place = RoutePlace("POST", path)
        assert resolves(report, Family.AUTHENTICATION, "form-can-be-forged", place) is resolved
    assert resolves(report, Family.AUTHENTICATION, "session-fixation", RoutePlace("POST", "/login/"))
    assert resolves(report, Family.AUTHENTICATION, "session-survives-log-out", RoutePlace("POST", "/logout/"))
    assert not resolves(report, Family.AUTHENTICATION, "session-survives-idleness", RoutePlace("POST", "/login/"))


def test_a_cookie_that_was_mended_or_is_gone_is_resolved(tmp_path: Path) -> None:
    with serving({}) as site:
        local: LocalServer = site
        rule, place = "cookies-session-without-httponly-flag", SystemPlace("cookie sessionid")
        for headers in ({}, {COOKIE: "sessionid=1; Secure; HttpOnly; SameSite=Lax"}):
            _, report = look_at_headers(sent(local, headers), tmp_path)
            assert resolves(report, Family.HEADERS, rule, place)
        assert resolves(report, Family.HEADERS, "csp-not-implemented", SystemPlace("content-security-policy"))


def test_a_look_at_headers_says_at_which_pages_it_saw_something_and_which_it_asked(tmp_path: Path) -> None:
    with serving({}) as site:
        local: LocalServer = site
        sent(local, {})
        local.replies["/login/"] = Reply()
        _, both = look_at_headers(local.url, tmp_path, pages=["/", "/login/"])
        _, one = look_at_headers(local.url, tmp_path, pages=["/"])
    policy = next(found for found in both.found if found.rule == "csp-not-implemented")
    assert policy.pages == ("/login/",)
    assert {covered.pages for covered in one.covered} == {frozenset({"/"})}
    place = fingerprints.place_document(policy.place)
    for pages, resolved in ((policy.pages, False), (("/",), True)):
        asked = {"family": "headers", "names": {policy.rule}, "place": place, "tools": ["headers"], "pages": pages}
        assert any(look.went_to(**asked) for look in looks([one])) is resolved


@pytest.mark.campaign
@pytest.mark.parametrize(("kind", "family"), [("code", Family.SOURCE), ("secrets", Family.SECRETS)])
def test_a_file_that_is_gone_is_resolved_and_one_that_is_left_out_is_not(
    kind: str, family: Family, tmp_path: Path
) -> None:
    files = {"a.py": TWINS["tls.py"], "tests/b.py": TWINS["tls.py"]}
    report = look_at_source(files, tmp_path / "whole", kind)
    assert resolves(report, family, "B602", FilePlace("gone.py", "x", 3))
    assert resolves(report, family, "B602", FilePlace("tests/gone.py", "x", 3))
    report = look_at_source(files, tmp_path / "part", kind, source={"exclude": ["tests/*"]})
    assert resolves(report, family, "B602", FilePlace("gone.py", "x", 3))
    assert not resolves(report, family, "B602", FilePlace("tests/b.py", "x", 3))
    assert not resolves(report, family, "B602", FilePlace("gone.py", "x", 3), tool="another")


@pytest.mark.campaign
def test_texts_that_only_look_random_stay_open_where_they_are_not_looked_for(tmp_path: Path) -> None:
    place = FilePlace("a.py", "0" * 32, 3)
    for entropy in (False, True):
        report = look_at_source({"a.py": "x = 1\n"}, tmp_path / str(entropy), "secrets", entropy=entropy)
        assert resolves(report, Family.SECRETS, "Hex High Entropy String", place) is entropy
        assert resolves(report, Family.SECRETS, "Private Key", place)


@pytest.mark.campaign
@pytest.mark.django_db(transaction=True)
def test_a_package_that_is_gone_is_resolved_where_every_list_was_read(tmp_path: Path) -> None:
    imported(*KNOWN)
    gone = PackagePlace("npm", "lodash", "4.17.20")
    pins = {"requirements.txt": "six==1.16.0\n"}
    assert not resolves(look_at_packages(pins, tmp_path / "alone"), Family.DEPENDENCIES, "CVE-1", gone), (
        "no list of npm"
    )
    both = {**pins, "package-lock.json": json.dumps({"packages": {"node_modules/a": {"version": "1.0.0"}}})}
    assert resolves(look_at_packages(both, tmp_path / "whole"), Family.DEPENDENCIES, "CVE-1", gone)
    part = look_at_packages(pins, tmp_path / "part", source={"exclude": ["web/*"]})
    assert not resolves(part, Family.DEPENDENCIES, "CVE-1", gone)
    assert resolves(part, Family.DEPENDENCIES, "CVE-1", PackagePlace("PyPI", "six", "1.15"))


def sarif_report(*, whole: bool = False, **run: Any) -> ToolReport:
    return done("semgrep", sarif.read(json.dumps(log(**run)).encode(), whole=whole).seen)


def test_another_scanners_file_speaks_for_the_rules_and_files_that_it_names() -> None:
    place, other = FilePlace("lib/x.py", "exec(x)"), FilePlace("lib/y.py", "exec(x)")
    off = {"id": "py.off", "defaultConfiguration": {"enabled": False}}
    # It may be the file of one shard, so its silence about a file that it does not name says nothing.
    assert not resolves(sarif_report(rules=[RULE]), Family.SOURCE, "py.exec", place)
    report = sarif_report(whole=True, rules=[RULE, off])
    assert resolves(report, Family.SOURCE, "py.exec", place)
    assert not resolves(report, Family.SOURCE, "py.exec", place, tool="bandit")
    assert not resolves(report, Family.SOURCE, "py.other", place)
    assert not resolves(report, Family.SOURCE, "py.off", place)
    artifacts = [{"location": {"uri": "lib/x.py"}, "roles": ["analysisTarget"]}, {"location": {"uri": "lib/y.py"}}]
    for whole in (False, True):
        report = sarif_report(whole=whole, rules=[RULE], artifacts=artifacts)
        assert resolves(report, Family.SOURCE, "py.exec", place)
        assert not resolves(report, Family.SOURCE, "py.exec", other)
    result = {"ruleId": "py.exec", "message": {"text": "x"}}
    silent = done("semgrep", sarif.read(json.dumps(log(result)).encode()).seen)
    assert not resolves(silent, Family.SOURCE, "py.exec", other)


def test_a_place_that_is_left_out_is_not_covered() -> None:
    found = Found(Family.SOURCE, "B602", "x", Severity.LOW, FilePlace("a.py", "x"))
    covered = Covered(Family.SOURCE, left_out=("tests/*",))
    report = ToolReport("bandit", "1", ToolStatus.FINDINGS, 1.0, (found,), (covered,), 1, "files")
    assert resolves(report, Family.SOURCE, "B602", FilePlace("b.py", "x"))
    assert not resolves(report, Family.SOURCE, "B602", FilePlace("tests/b.py", "x"))


@pytest.mark.campaign
def test_what_is_still_there_and_less_sure_than_the_plan_asks_for_stays_open(tmp_path: Path) -> None:
    doubtful = 'def f(n):\n    return "SELECT * FROM t WHERE a = %s" % n\n'
    gone = 'def g(n):\n    return "SELECT * FROM t WHERE b = %s" % n\n'
    first = look_at_source({"a.py": doubtful, "b.py": gone}, tmp_path / "one", confidence="low")
    places = {found.place.path: found.place for found in first.found if isinstance(found.place, FilePlace)}
    then = look_at_source({"a.py": doubtful, "b.py": "x = 1\n"}, tmp_path / "two", confidence="high")
    assert ({found.rule for found in first.found}, then.status) == ({"B608"}, ToolStatus.OK)
    assert not resolves(then, Family.SOURCE, "B608", places["a.py"])
    assert resolves(then, Family.SOURCE, "B608", places["b.py"])
    assert resolves(then, Family.SOURCE, "B602", FilePlace("a.py", "x", 3))
    assert not resolves(then, Family.SOURCE, "B602", FilePlace("a.py", "x", 3), tool="another")
    assert then.notes == ("1 findings are less sure than the plan asks for; they are not told, and not resolved.",)


def test_a_question_of_time_that_a_limit_cut_short_was_not_asked(tmp_path: Path) -> None:
    by_time = ("accounts-told-apart-by-time", RoutePlace("POST", "/login/"))
    with serving_site() as site:
        assert resolves(look_at_log_in(site.url, tmp_path), Family.AUTHENTICATION, *by_time)
    with serving_site() as site:
        site.allowed = 2
        report = look_at_log_in(site.url, tmp_path)
    assert report.status is not ToolStatus.INCOMPLETE, report.why
    assert not resolves(report, Family.AUTHENTICATION, *by_time)
    assert any("at which speed" in note for note in report.notes)
