"""What makes two findings the same, and what does not."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from checks.enums import SEVERITY_RANKS, FindingFamily, FindingSeverity
from checks.findings.fingerprints import fingerprint, route, severity_of
from checks.findings.seen import together
from checks.tools.auditing.said import Family, FilePlace, Found, PackagePlace, RoutePlace, Severity
from tests.findings.support import line, package, report
from tests.findings.support import route as at

text = st.text(max_size=30)
words = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
severities = st.sampled_from(list(Severity))


def test_the_words_of_the_tools_are_those_of_the_database() -> None:
    assert {one.value for one in Severity} == set(FindingSeverity.values) == set(SEVERITY_RANKS)
    assert {one.value for one in Family} == set(FindingFamily.values)
    assert SEVERITY_RANKS["unknown"] == SEVERITY_RANKS["high"]


@given(words, words, text, text, st.integers(0, 10**6), severities, st.none() | st.floats(0, 10))
def test_line_severity_version_and_words_are_no_part_of_it(
    name: str, code: str, title: str, version: str, number: int, severity: Severity, cvss: float | None
) -> None:
    first = line("app/views.py", code)
    second = line("app/views.py", code, number=number, severity=severity, cvss=cvss, title=title, detail=title)
    assert fingerprint(first) == fingerprint(second)
    old = package(name, "CVE-2024-1")
    assert fingerprint(old) == fingerprint(
        replace(old, place=PackagePlace("PyPI", name, version), severity=severity, fixed_in=(version,), remedy=title)
    )


@given(st.lists(words, max_size=4), st.integers(0, 10**12), st.uuids(), words)
def test_ids_queries_and_slashes_are_one_route(parts: list[str], number: int, unique: object, query: str) -> None:
    path = "/" + "/".join([*parts, str(number)])
    spellings = [path, f"{path}/", f"{path}?{query}=1", f"https://staging.example:8443{path}#{query}", f"/{path}",
                 "/" + "/".join([*parts, str(unique)]), "/" + "/".join([*parts, "{id}"])]  # fmt: skip
    assert len({route(spelling) for spelling in spellings}) == 1
    assert route(route(path)) == route(path)
    assert len({fingerprint(at(spelling)) for spelling in spellings}) == 1


@example(name="", rule="", value="0 /")
@given(name=st.text(max_size=60), rule=st.text(max_size=60), value=st.text(max_size=60))
def test_whatever_a_tool_says_has_a_fingerprint_that_stays(name: str, rule: str, value: str) -> None:
    places = (PackagePlace(name, value, rule), RoutePlace(name, value, rule), FilePlace(value, name))
    for place in places:
        found = Found(Family.WEB, rule, value, Severity.LOW, place)
        assert fingerprint(found) == fingerprint(found)
        assert len(fingerprint(found)) == 64
    assert route(route(value)) == route(value)


@given(st.permutations(["CVE-2024-27351", "GHSA-vm8q-m57g-pff3", "PYSEC-2024-47"]), st.sampled_from(["-", "_", "."]))
def test_the_order_of_ids_and_the_spelling_of_a_package_do_not_matter(ids: list[str], mark: str) -> None:
    assert fingerprint(package(f"Zope{mark}Interface", *ids)) == fingerprint(
        package("zope-interface", "CVE-2024-27351", "ghsa-vm8q-m57g-pff3", "PYSEC-2024-47", ecosystem="pypi")
    )


@given(
    st.lists(st.lists(st.sampled_from([f"CVE-{n}" for n in range(9)]), min_size=1, max_size=3), min_size=1, max_size=6)
)
def test_ids_that_hang_together_are_one_thing(groups: list[list[str]]) -> None:
    """Compared with merging sets one after another."""
    expected: list[set[str]] = []
    for group in groups:
        apart = [one for one in expected if not one & set(group)]
        expected = [*apart, set(group).union(*(one for one in expected if one & set(group)))]
    seen = together([report("pip-audit", *(package("django", *group) for group in groups))])
    assert sorted(sorted(one.names) for one in seen) == sorted(sorted(one) for one in expected)
    assert len({one.fingerprint for one in seen}) == len(seen)


def test_different_things_differ() -> None:
    different = [
        package("django", "CVE-2024-1"),
        package("django", "CVE-2024-2"),
        package("flask", "CVE-2024-1"),
        package("django", "CVE-2024-1", ecosystem="npm"),
        at("/talks", rule="xss"),
        at("/talks", rule="sql"),
        at("/talks", method="POST"),
        at("/talks", parameter="title"),
        at("/talks/archive"),
        at("/talks", family=Family.HEADERS, rule="csp", parameter=""),
        at("/talks", family=Family.HEADERS, rule="hsts", parameter=""),
        line("app/views.py", "run(x)"),
        line("app/views.py", "run(y)"),
        line("app/models.py", "run(x)"),
        line("app/views.py", "run(x)", rule="B603"),
    ]
    assert len({fingerprint(one) for one in different}) == len(different)


def test_headers_of_one_weakness_stay_apart_and_one_fault_seen_by_two_tools_does_not() -> None:
    csp, hsts = (
        at("/", family=Family.HEADERS, rule=rule, parameter="", cwe=(693,)) for rule in ("csp-missing", "hsts-missing")
    )
    assert fingerprint(csp) != fingerprint(hsts)
    assert fingerprint(at("/find", rule="xss", cwe=(79,))) == fingerprint(at("/find", rule="40012", cwe=(79,)))
    seen = together([report("wapiti", at("/find", cwe=(79,))), report("zap", at("/find", rule="40012", cwe=(79,)))])
    assert [sorted(one.tools) for one in seen] == [["wapiti", "zap"]]


@pytest.mark.parametrize(
    ("cvss", "said", "severity"),
    [
        (9.8, Severity.LOW, Severity.CRITICAL),
        (8.9, Severity.LOW, Severity.HIGH),
        (7.0, Severity.LOW, Severity.HIGH),
        (6.9, Severity.CRITICAL, Severity.MEDIUM),
        (0.1, Severity.CRITICAL, Severity.LOW),
        (None, Severity.UNKNOWN, Severity.UNKNOWN),
        (float("nan"), Severity.HIGH, Severity.HIGH),
        (11.0, Severity.MEDIUM, Severity.MEDIUM),
    ],
)
def test_the_score_decides_where_there_is_one(cvss: float | None, said: Severity, severity: Severity) -> None:
    assert severity_of(package("django", "CVE-1", cvss=cvss, severity=said)) is severity
