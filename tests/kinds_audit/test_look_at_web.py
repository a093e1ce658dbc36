"""Pages and forms scanned by wapiti as it is; and what its reports and logs mean, broken ones too."""

import json
from pathlib import Path
from typing import Any

import pytest

from checks.findings import fingerprints
from checks.findings.coverage import looks
from checks.tools.auditing import web, web_report
from checks.tools.auditing.looking import NotSeen
from checks.tools.auditing.said import RoutePlace, Severity, ToolReport, ToolStatus
from checks.tools.auditing.web import WebLook, WebSection
from tests.engine.support import log_text
from tests.kinds_audit.annex import FLAWS as ANNEX_FLAWS
from tests.kinds_audit.annex import open_annex
from tests.kinds_audit.shop import FLAWS, open_shop
from tests.kinds_audit.support import Desk, Handle, looked
from tests.kinds_audit.test_audit import audit

LOGIN = {
    "page": "/login/", "user": "user", "password": "password", "marker": "/account/", "marker_text": "Signed in as",
    "log_out": "/logout/",
}  # fmt: skip
#: What wapiti 3.2.3 wrote of the flawed shop: its report, and its log without the attacks and their traces.
REPORTS = Path(__file__).parent / "reports"
REPORT, LOG = json.loads((REPORTS / "wapiti.json").read_text()), (REPORTS / "wapiti.log").read_text()
#: The same log as it is where no redirect leads anywhere, so that wapiti's client does not break.
SOUND_LOG = "".join(
    line for line in LOG.splitlines(keepends=True) if "requests were skipped" not in line and "InvalidURL" not in line
)
COOKIE = "a" * 32
MODULES = ["sql", "xss", "redirect", "file", "exec", "crlf", "csrf", "permanentxss"]
TOLD = {
    "Cross Site Request Forgery": ("medium", RoutePlace("POST", "/notes")),
    "Path Traversal": ("critical", RoutePlace("GET", "/file", "name")),
    "Open Redirect": ("medium", RoutePlace("GET", "/go", "to")),
    "Reflected Cross Site Scripting": ("high", RoutePlace("GET", "/search", "q")),
    "SQL Injection": ("critical", RoutePlace("GET", "/item", "id")),
    "Internal Server Error": ("low", RoutePlace("GET", "/item", "id")),
}


LESS_USED = ["backup", "exec", "htaccess", "ldap", "methods", "permanentxss", "upload", "xss"]
TOLD_OF_ANNEX = {
    "backup-served": ("Backup file", "medium", RoutePlace("GET", "/price-list.txt", "price-list.txt.bak")),
    "header-injection": ("CRLF Injection", "high", RoutePlace("GET", "/language", "to")),
    "command-execution": ("Command execution", "critical", RoutePlace("GET", "/ping", "host")),
    "guarded-for-some-methods": ("Htaccess Bypass", "high", RoutePlace("ABC", "/staff")),
    "directory-injection": ("LDAP Injection", "high", RoutePlace("GET", "/people", "name")),
    "methods-answered": ("HTTP Methods", "low", RoutePlace("GET", "/shelf")),
    "stored-scripting": ("Stored Cross Site Scripting", "high", RoutePlace("POST", "/guests", "words")),
    "slow-injection": ("Blind SQL Injection", "critical", RoutePlace("GET", "/stock", "id")),
    "uploads-run": ("Unrestricted File Upload", "high", RoutePlace("POST", "/pictures", "picture")),
}


def look(url: str, folder: Path, **more: Any) -> ToolReport:
    return looked(WebLook(WebSection.model_validate({"login": LOGIN, **more})), url, folder)


@pytest.mark.campaign
def test_planted_flaws_behind_the_log_in_are_found_and_no_cookie_is_kept(tmp_path: Path) -> None:
    with open_shop(tmp_path / "shop", *FLAWS - {"open-redirect"}) as shop:
        desk = Desk(shop.url, tmp_path)
        seen = WebLook(WebSection.model_validate({"login": LOGIN})).look(desk, Handle())  # type: ignore[arg-type]
        sessions = set(shop.sessions)
    told = {rule: seen_there for rule, seen_there in TOLD.items() if rule != "Open Redirect"}
    assert {each.rule: (each.severity, each.place) for each in seen.found} == told
    assert all(found.cwe and found.owasp and found.asvs and found.remedy for found in seen.found)
    assert (seen.looked_at, seen.version) == (8, "3.2.3")
    # Nobody was logged out, and nothing that wapiti wrote is left.
    assert len(sessions) == 1
    assert not any("/logout/" in path for _, path in shop.seen)
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]
    assert not any(session in f"{desk.notes} {seen}" for session in sessions)


@pytest.mark.campaign
def test_an_open_redirect_is_told_and_excuses_no_module_that_broke_on_it(tmp_path: Path) -> None:
    with open_shop(tmp_path / "shop", "open-redirect") as shop:
        report = look(shop.url, tmp_path, modules=["redirect", "crlf"], depth=2)
    assert report.status is ToolStatus.INCOMPLETE
    assert [(each.rule, each.place) for each in report.found] == [("Open Redirect", TOLD["Open Redirect"][1])]
    assert "module crlf got no answer to 1 requests" in report.why
    assert "/go redirects anywhere" in report.remedy


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("modules", "wanted"),
    [
        (["crlf"], {"header-injection"}),
        (["timesql"], {"slow-injection"}),
        (LESS_USED, ANNEX_FLAWS - {"header-injection", "slow-injection"}),
    ],
)
def test_flaws_for_the_modules_that_are_used_less_are_found_and_their_twins_are_not(
    modules: list[str], wanted: set[str], tmp_path: Path
) -> None:
    with open_annex(*wanted) as annex:
        report = look(annex.url, tmp_path, login=None, modules=modules, depth=3)
    told = {TOLD_OF_ANNEX[flaw] for flaw in wanted}
    # What is stored is reflected as well, and a page guarded for some methods answers others.
    beside = {
        ("Reflected Cross Site Scripting", "high", RoutePlace("POST", "/guests", "words")),
        ("HTTP Methods", "low", RoutePlace("GET", "/staff")),
    }
    assert {(each.rule, each.severity.value, each.place) for each in report.found} - beside == told, report.why
    assert report.status is ToolStatus.FINDINGS, report.why
    for rule, _, place in told:
        document = fingerprints.place_document(place)
        went = (one.went_to(family="web", names={rule}, place=document, tools=["wapiti"]) for one in looks([report]))
        assert any(went), place
    with open_annex() as annex:
        report = look(annex.url, tmp_path, login=None, modules=modules, depth=3)
    assert (report.status, report.found, report.why) == (ToolStatus.OK, (), "")


def test_where_headers_can_be_written_that_is_named_as_what_breaks_the_scan() -> None:
    row = {"method": "GET", "path": "/language", "parameter": "to", "info": "x", "module": "crlf"}
    report = {"vulnerabilities": {"CRLF Injection": [row]}, "anomalies": {}, "additionals": {}}
    with pytest.raises(NotSeen, match="module file got no answer to 1 requests") as told:
        web_report.refuse_incomplete(LOG, MODULES, web_report.findings(report, []))
    assert "/language writes what is sent into headers" in told.value.remedy


@pytest.mark.campaign
def test_a_safe_twin_is_clean(tmp_path: Path) -> None:
    with open_shop(tmp_path / "shop") as shop:
        report = look(shop.url, tmp_path, depth=3, modules=["csrf", "file", "redirect", "sql", "xss"])
    assert (report.status, report.found, report.why) == (ToolStatus.OK, (), "")
    assert report.looked_at == 8


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("planted", "section", "why"),
    [
        ({"log_out_after": 12}, {}, "The log-in ended during the scan"),
        ({"die_after": 16}, {}, "No answer from 127.0.0.1"),
        ({}, {"login": None, "exclude": ["/login/"]}, "wapiti found 1 pages and forms, and the plan asks for 5"),
        ({}, {"crawl_time": "10ms"}, "wapiti's time ended before it had found all pages"),
        ({}, {"attack_time": "10ms"}, "The time of wapiti's module redirect ended before it was done"),
    ],
)
def test_a_scan_that_saw_too_little_is_no_pass(
    planted: dict[str, int], section: dict[str, Any], why: str, tmp_path: Path
) -> None:
    with open_shop(tmp_path / "shop", **planted) as shop:
        report = look(shop.url, tmp_path, modules=["redirect"], **section)
    assert report.status is ToolStatus.INCOMPLETE
    assert why in report.why


@pytest.mark.campaign
@pytest.mark.django_db(transaction=True)
def test_a_whole_run_says_no_and_keeps_no_cookie(tmp_path: Path, storage_folder: Path) -> None:
    with open_shop(tmp_path / "shop", "sql-injection") as shop:
        run = audit(shop.url, tmp_path, web={"login": LOGIN, "modules": ["sql"], "depth": 2})
        sessions = set(shop.sessions)
    assert run.state == "failed", log_text(run)
    assert "critical: What is sent reaches the database as SQL (GET /item, parameter id)" in run.summary
    assert "leaves test data behind" in log_text(run)
    kept = "".join(path.read_text(errors="replace") for path in storage_folder.rglob("*") if path.is_file())
    assert sessions
    assert not any(session in f"{kept} {run.result} {log_text(run)}" for session in sessions)


def test_what_a_report_means() -> None:
    found = web_report.findings(REPORT, [COOKIE])
    assert {each.rule: (each.severity, each.place) for each in found} == TOLD
    assert len(web_report.pages(REPORT)) == 8
    assert COOKIE in json.dumps(REPORT)
    assert COOKIE not in repr(found)


def test_what_nobody_has_rated_counts_as_high_and_a_cookie_stands_in_no_sentence() -> None:
    row = {"method": "GET", "path": f"/x/{COOKIE}", "parameter": COOKIE, "info": f"Sent {COOKIE}.", "module": "new"}
    report = {"vulnerabilities": {"Something new": [row]}, "anomalies": {}, "additionals": {}}
    (found,) = web_report.findings(report, [COOKIE])
    assert (found.severity, found.place) == (Severity.UNKNOWN, RoutePlace("GET", "/x/***", "***"))
    assert found.detail == "Sent ***. (module new)"


def of_additionals(*sentences: str) -> list[tuple[str, RoutePlace, str]]:
    row = {"method": "GET", "path": "/shelf", "parameter": "", "module": "methods"}
    listed = {"HTTP Methods": [{**row, "info": sentence} for sentence in sentences]}
    report = {"vulnerabilities": {}, "anomalies": {}, "additionals": listed}
    return [(found.rule, found.place, found.detail) for found in web_report.findings(report, [])]


def test_methods_that_are_answered_are_told_and_those_that_are_refused_or_usual_are_not() -> None:
    heard = "Possible interesting methods (using heuristics) on http://x/shelf: "
    assert of_additionals(heard, f"{heard}POST (400) HEAD (200)", f"{heard}PUT (404) DELETE (501)") == []
    assert of_additionals(f"{heard}DELETE (200) POST (200) PUT (405)") == [
        ("HTTP Methods", RoutePlace("GET", "/shelf"), "Answered: DELETE (200).")
    ]
    (trace,) = of_additionals("HTTP TRACE method is allowed on the webserver")
    assert trace[2] == "Answered: TRACE."


def test_a_blind_injection_is_the_finding_of_its_own_module_and_a_backup_is_one_of_its_page() -> None:
    rows = {
        "SQL Injection": [{"method": "GET", "path": "/stock", "parameter": "id", "info": "x", "module": "timesql"}],
        "Backup file": [
            {"method": "GET", "path": "/a/list.txt.bak", "parameter": "", "module": "backup",
             "info": "Backup file http://x/a/list.txt.bak found for http://x/a/list.txt"}
        ],
    }  # fmt: skip
    found = web_report.findings({"vulnerabilities": rows, "anomalies": {}, "additionals": {}}, [])
    assert {(each.rule, each.place) for each in found} == {
        ("Blind SQL Injection", RoutePlace("GET", "/stock", "id")),
        ("Backup file", RoutePlace("GET", "/a/list.txt", "list.txt.bak")),
    }


def test_a_whole_log_is_believed() -> None:
    web_report.refuse_incomplete(SOUND_LOG, MODULES, web_report.findings(REPORT, []))


def test_what_broke_where_a_redirect_leads_anywhere_is_no_pass_and_the_redirect_is_named() -> None:
    found = web_report.findings(REPORT, [])
    with pytest.raises(NotSeen, match="module file got no answer to 1 requests") as told:
        web_report.refuse_incomplete(LOG, MODULES, found)
    assert "/go redirects anywhere" in told.value.remedy
    assert told.value.found == tuple(found)
    with pytest.raises(NotSeen, match="module exec broke at /go: InvalidURL"):
        web_report.refuse_incomplete(LOG.replace(" requests were skipped", ""), MODULES, found)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("INFO     | a:b:1 - Max scan time was reached, stopping.", "before it had found all pages"),
        ("INFO     | a:b:1 - Max attack time was reached for module sql, stopping.", "ended before it was done"),
        ("ERROR    | a:b:1 - KeyError", "wapiti's module permanentxss broke at /search: KeyError"),
        ("ERROR    | a:b:1 - [!] Unable to import module sql: x", "Unable to import module sql"),
    ],
)
def test_a_log_of_a_broken_scan_is_no_pass(line: str, why: str) -> None:
    found = web_report.findings(REPORT, [])
    with pytest.raises(NotSeen, match="wapiti") as told:
        web_report.refuse_incomplete(
            f"{SOUND_LOG}2026-11-24 08:22:48.0 | INFO     | a:b:1 - [+] GET http://127.0.0.1:1/search?q=x (1)\n"
            f"2026-11-24 08:22:48.1 | {line}\n",
            MODULES,
            found,
        )
    assert why in told.value.why


def test_a_module_that_did_not_run_is_no_pass() -> None:
    with pytest.raises(NotSeen, match="did not run its module upload"):
        web_report.refuse_incomplete(LOG, [*MODULES, "upload"], web_report.findings(REPORT, []))


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 0", "does not say its version"),
        ('[ "$1" = --version ] && echo 3.2.3', "wrote no report"),
        ('[ "$1" = --version ] && echo 3.2.3 || echo "{" > wapiti/report.json', "is not whole"),
        (
            '[ "$1" = --version ] && echo 3.2.3 || { echo "{}" > wapiti/report.json; touch wapiti/wapiti.log; }',
            "cannot be read",
        ),
        ('[ "$1" = --version ] && echo 3.2.3 || echo "{}" > wapiti/report.json', "wrote no log"),
    ],
)
def test_a_tool_that_breaks_is_no_pass(script: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o700)
    monkeypatch.setattr(web.toolbox, "program", lambda context, name: [str(broken)])
    with open_shop(tmp_path / "shop") as shop:
        report = look(shop.url, tmp_path)
    assert report.status is ToolStatus.INCOMPLETE
    assert why in report.why
    assert not (tmp_path / "wapiti").exists()


def test_a_log_in_that_is_refused_or_a_marker_for_everybody_is_no_pass(tmp_path: Path) -> None:
    with open_shop(tmp_path / "shop") as shop:
        marked = {**LOGIN, "marker": "/", "marker_text": "Log in"}
        assert "to somebody who is not logged in as well" in look(shop.url, tmp_path, login=marked).why
        report = looked(
            WebLook(WebSection.model_validate({"login": LOGIN})), shop.url, tmp_path, secrets={"password": "old"}
        )
        assert "The plan's account was not let in" in report.why
    assert "No answer from 127.0.0.1" in look(shop.url, tmp_path).why
