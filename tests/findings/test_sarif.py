"""SARIF out and in: what one program writes the other believes, and no more than it says."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from checks.findings import accepting
from checks.findings.fingerprints import fingerprint
from checks.findings.sarif import written
from checks.models import Finding, Scan
from checks.tools.auditing import sarif
from checks.tools.auditing.said import Family, FilePlace, Severity, SystemPlace
from tests.factories import make_application, make_team
from tests.findings.support import line, package, report, scan
from tests.findings.support import route as at


def log(*results: Any, **run: Any) -> dict[str, Any]:
    driver = {"name": "semgrep", "version": "1.2", "rules": run.pop("rules", [])}
    whole = {"tool": {"driver": driver}, "invocations": [{"executionSuccessful": True}], "results": list(results)}
    return {"version": "2.1.0", "runs": [{**whole, **run}]}


def read(tree: Any) -> sarif.Log:
    return sarif.read(json.dumps(tree).encode())


RULE = {
    "id": "py.exec", "shortDescription": {"text": "Exec of input"}, "helpUri": "https://example.test/exec",
    "defaultConfiguration": {"level": "error"},
    "properties": {"tags": ["security", "external/cwe/cwe-095"], "security-severity": "8.1"},
}  # fmt: skip
RESULT = {
    "ruleId": "py.exec", "message": {"text": "exec(x)"},
    "locations": [{"physicalLocation": {"artifactLocation": {"uri": "file:///build/src/app/a%20b.py"},
                                        "region": {"startLine": 7, "snippet": {"text": "  exec(x)\n"}}}}],
}  # fmt: skip


def test_a_result_becomes_what_a_tool_of_our_own_would_have_said() -> None:
    told = read(log(RESULT, rules=[RULE], originalUriBaseIds={"SRC": {"uri": "file:///build/src/"}}))
    found = told.seen.found[0]
    assert (found.rule, found.title, found.cvss, found.cwe) == ("py.exec", "Exec of input", 8.1, (95,))
    assert found.place == FilePlace("app/a b.py", "  exec(x)\n", 7)
    assert (found.severity, found.owasp, found.asvs) == (Severity.HIGH, "A05", ("1.3.2",))
    assert (told.tools, told.seen.looked_at) == ((("semgrep", "1.2"),), 1)
    moved = json.loads(json.dumps(RESULT).replace('"startLine": 7', '"startLine": 99'))
    again = read(log(moved, rules=[RULE], originalUriBaseIds={"SRC": {"uri": "file:///build/src/"}})).seen.found[0]
    assert fingerprint(again) == fingerprint(found)


def test_levels_kinds_places_and_messages_of_the_standard() -> None:
    rules = [{"id": "a/b", "messageStrings": {"m": {"text": "{0} is {1}"}}}, {"id": "c"}]
    told = read(
        log(
            {"ruleIndex": 0, "message": {"id": "m", "arguments": ["x", "bad"]}, "level": "note",
             "locations": [{"logicalLocations": [{"fullyQualifiedName": "app.views.run"}]}]},
            {"rule": {"id": "c/sub"}, "message": {"text": "y"}, "partialFingerprints": {"h": "1"},
             "locations": [{"physicalLocation": {"artifactLocation": {"index": 0}}}]},
            {"ruleId": "d", "message": {"text": "z"}, "suppressions": [{"kind": "inSource"}], "level": "odd"},
            {"ruleId": "e", "message": {"text": "no"}, "kind": "pass"},
            {"ruleId": "f", "message": {"text": "gone"}, "baselineState": "absent"},
            rules=rules, artifacts=[{"location": {"uri": "lib/x.py"}}],
        )
    )  # fmt: skip
    first, second, third = told.seen.found
    assert (first.rule, first.detail, first.place, first.severity) == (
        "a/b", "x is bad", SystemPlace("app.views.run"), Severity.LOW,
    )  # fmt: skip
    assert (second.rule, second.place, second.severity) == ("c/sub", FilePlace("lib/x.py", "h=1"), Severity.MEDIUM)
    assert third.severity is Severity.UNKNOWN
    assert "suppressed" in next(iter(told.seen.notes))


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        ([], "no object"),
        ({"version": "2.0.0", "runs": []}, "version '2.0.0'"),
        ({"version": "2.1.0"}, "no list at /runs"),
        ({"version": "2.1.0", "runs": []}, "no run of a tool"),
        ({"version": "2.1.0", "runs": [{"results": []}]}, "/runs/0/tool"),
        ({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": " "}}, "results": []}]}, "names no tool"),
        (log(results=None), "did not scan"),
        ({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}}, "results": []}]}, "does not say that it"),
        (log(invocations=[]), "does not say that it ran to its end"),
        (log(invocations=[{"executionSuccessful": False}]), "did not run to its end"),
        (log(invocations=[{}]), "did not run to its end"),
        (
            log(invocations=[{"executionSuccessful": True, "toolExecutionNotifications": [
                {"level": "error", "message": {"text": "a.py cannot be parsed"}}]}]),
            "a.py cannot be parsed",
        ),
        (log({"message": {}}), "neither a rule nor a message"),
        (log(externalPropertyFileReferences={"results": [{"location": {"uri": "more.sarif"}}]}), "external properties"),
        (log() | {"inlineExternalProperties": [{"results": [RESULT]}]}, "external properties"),
        (log(RESULT, invocations=[{"ruleConfigurationOverrides": [{}]}]), "schema"),
        (log("x"), "no object at /runs/0/results/0"),
        (log({"ruleId": "a", "message": {"text": "x"}}, rules=[{"id": "a", "shortDescription": "text"}]), "schema"),
        (log(*([{"ruleId": "a"}] * 50_001)), "at most 50,000"),
    ],
)  # fmt: skip
def test_what_does_not_say_that_it_looked_is_not_believed(tree: Any, why: str) -> None:
    with pytest.raises(sarif.NotSarif, match=why):
        read(tree)


def test_a_kind_that_nobody_knows_is_told() -> None:
    results = [
        {"ruleId": kind, "message": {"text": "x"}, "kind": kind} for kind in ("FAIL", "pass", "notApplicable", "")
    ]
    assert [found.rule for found in read(log(*results)).seen.found] == ["FAIL", "x"]


def test_a_rule_that_the_run_was_told_to_leave_out_mends_nothing_and_its_level_counts() -> None:
    def told(**descriptor: Any) -> sarif.Log:
        changed = {"descriptor": descriptor, "configuration": {"level": "error"}}
        off = {"descriptor": {"id": "b"}, "configuration": {"enabled": False}}
        ran = {"executionSuccessful": True, "ruleConfigurationOverrides": [changed, off]}
        return read(log({"ruleId": "a", "message": {"text": "x"}}, rules=[{"id": "a"}, {"id": "b"}], invocations=[ran]))

    for log_read in (told(id="a"), told(index=0)):
        assert [found.severity for found in log_read.seen.found] == [Severity.HIGH]
        assert [one.rules for one in log_read.seen.covered] == [frozenset({"a"})]


def test_an_index_counts_in_the_component_that_it_names() -> None:
    driver = {"name": "semgrep", "rules": [{"id": "a", "defaultConfiguration": {"level": "error"}}, {"id": "b"}]}
    more = {"name": "more", "rules": [{"id": "x", "defaultConfiguration": {"level": "note"}}]}

    def told(component: Any, *results: Any, **configuration: Any) -> sarif.Log:
        override = {"descriptor": {"index": 0, **component}, "configuration": configuration}
        ran = {"executionSuccessful": True, "ruleConfigurationOverrides": [override] if configuration else []}
        return read(log(*results, tool={"driver": driver, "extensions": [more]}, invocations=[ran]))

    def results(component: Any) -> list[Any]:
        message = {"message": {"text": "x"}}
        return [{"rule": {"index": 0, **component}, **message}, {"ruleIndex": 0, "rule": component, **message}]

    extension, unknown = {"toolComponent": {"index": 0}}, {"toolComponent": {"guid": "1"}}
    for component, rule, severity in (
        ({}, "a", Severity.HIGH), (extension, "x", Severity.LOW), (unknown, "x", Severity.MEDIUM),
        ({"toolComponent": {"index": 7}}, "x", Severity.MEDIUM),
    ):  # fmt: skip
        found = told({}, *results(component)).seen.found
        assert [(each.rule, each.severity) for each in found] == [(rule, severity)] * 2
    (covered,) = told(extension, enabled=False).seen.covered
    assert covered.rules == frozenset({"a", "b"})
    # Which rule was turned off is not known, so none of them was surely looked for; nobody's level is lowered.
    away = told(unknown, {"message": {"text": "x"}}, {"ruleId": "a"}, enabled=False, level="note")
    assert [one.rules for one in away.seen.covered] == [frozenset()]
    assert [one.severity for one in away.seen.found] == [Severity.MEDIUM, Severity.HIGH]


def test_a_file_cut_off_is_not_believed() -> None:
    for data in (json.dumps(log(RESULT)).encode()[:-9], b"[" * 100_000, b"\xff\xfe{"):
        with pytest.raises(sarif.NotSarif, match="not valid JSON"):
            sarif.read(data)


@pytest.mark.django_db
def test_what_a_run_found_is_written_and_read_back() -> None:
    application = make_application()
    team = make_team(application)
    bad, web = line("app/a b.py", "run(x)", number=3, cwe=(78,), cvss=7.2), at("/gone")
    scan(application, report("bandit", bad), report("wapiti", web))
    finding = Finding.objects.get(family="source")
    acceptance = accepting.request_acceptance(
        finding=finding, requester=team.engineer, reason="Later.", expires_at=timezone.now() + timedelta(days=9)
    )
    accepting.approve_acceptance(acceptance=acceptance, approver=team.manager)
    _, run = scan(
        application, report("bandit", bad), report("wapiti"), report("pip-audit", package("django", "CVE-1")),
        report("sslyze", why="It was refused."),
    )  # fmt: skip
    client = Client()
    client.force_login(team.auditor, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.get(reverse("checks:run_sarif", args=[run.number]))
    assert answer["Content-Type"] == "application/sarif+json"
    tree = json.loads(answer.content)
    assert answer.content == written(run, Scan.objects.get(run=run))
    by_tool = {one["tool"]["driver"]["name"]: one for one in tree["runs"]}
    assert set(by_tool) == {"bandit", "wapiti", "pip-audit", "sslyze", "Go/No-Go"}
    told = by_tool["bandit"]["results"][0]
    assert told["suppressions"][0]["justification"] == "Later."
    assert told["partialFingerprints"] == {"gonogo/v1": finding.fingerprint}
    assert told["baselineState"] == "unchanged"
    assert by_tool["Go/No-Go"]["results"][0]["baselineState"] == "absent"
    assert by_tool["sslyze"]["invocations"][0]["executionSuccessful"] is False
    with pytest.raises(sarif.NotSarif, match="sslyze says that it did not run to its end"):
        read(tree)  # one tool of it did not look, and nobody is told otherwise
    back = read({**tree, "runs": [one for one in tree["runs"] if one["tool"]["driver"]["name"] != "sslyze"]})
    assert [one.rule for one in back.seen.found] == ["B602", "CVE-1"]
    assert back.seen.found[0].place == FilePlace("app/a b.py", f"gonogo/v1={finding.fingerprint}", 3)
    assert back.seen.found[0].family is Family.SOURCE
    run.build_digest = "b" * 64
    tree = json.loads(written(run, Scan.objects.get(run=run)))
    assert {one["properties"]["gonogo.build_digest"] for one in tree["runs"]} == {"b" * 64}
    client.force_login(make_team(make_application()).viewer, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(reverse("checks:run_sarif", args=[run.number])).status_code == 404
