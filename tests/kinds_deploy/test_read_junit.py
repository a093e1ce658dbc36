"""Reading JUnit XML: hostile, broken, huge and odd reports."""

import io
import tracemalloc

import pytest

from checks.errors import CheckError
from checks.tools.junit import Report, read_reports


def read(*texts: str | bytes) -> Report:
    return read_reports(
        (f"report-{number}.xml", io.BytesIO(text.encode() if isinstance(text, str) else text))
        for number, text in enumerate(texts, start=1)
    )


def test_it_counts_by_suite_and_names_failures() -> None:
    report = read(
        """<testsuites><testsuite name="unit" tests="3" failures="1">
        <testcase classname="tests.test_a" name="test_one" time="0.5"/>
        <testcase classname="tests.test_a" name="test_two" time="1,200.25">
          <failure message="assert 1 == 2">Traceback ...</failure></testcase>
        <testcase classname="tests.test_a" name="test_three"><skipped/></testcase>
        </testsuite><testsuite name="integration" tests="1" errors="1">
        <testcase classname="tests.test_b" name="test_four"><error type="OSError">no server</error></testcase>
        </testsuite></testsuites>"""
    )
    assert report.counts.as_json() == {
        "total": 4, "passed": 1, "failed": 1, "errored": 1, "skipped": 1, "seconds": 1200.75,
    }  # fmt: skip
    assert {name: counts.total for name, counts in report.suites.items()} == {"unit": 3, "integration": 1}
    assert [(failure.name, failure.state, failure.message) for failure in report.failures] == [
        ("tests.test_a.test_two", "failed", "assert 1 == 2"),
        ("tests.test_b.test_four", "errored", "OSError"),
    ]
    assert report.failures[1].details == "no server"
    assert report.slowest[0] == (1200.25, "unit", "tests.test_a.test_two")
    assert not report.all_green
    assert report.gaps == []


def test_it_joins_the_names_of_nested_suites() -> None:
    report = read(
        '<testsuite name="all"><testsuite name="inner" tests="1"><testcase name="a"/></testsuite>'
        '<testcase name="b"/></testsuite>'
    )
    assert list(report.suites) == ["all / inner", "all"]
    assert report.all_green


def test_the_time_that_a_runner_adds_to_a_suite_is_no_part_of_its_name() -> None:
    report = read('<testsuite name="shop.tests.CartTests-20261124114123"><testcase name="a"/></testsuite>')
    assert list(report.suites) == ["shop.tests.CartTests"]
    report = read('<testsuite name="invoices-20261324"><testcase name="a"/></testsuite>')
    assert list(report.suites) == ["invoices-20261324"]


@pytest.mark.parametrize(
    "text",
    [
        "<testsuites/>",
        '<testsuite name="empty" tests="0"></testsuite>',
        '<testsuite><testcase name="a"><skipped/></testcase></testsuite>',
        '<testsuite><testcase name="a" status="notrun"/></testsuite>',
    ],
)
def test_no_test_run_is_never_green(text: str) -> None:
    assert not read(text).all_green


@pytest.mark.parametrize(
    ("attributes", "state"),
    [('status="failed"', "failed"), ('status="FAIL"', "failed"), ('status="run" result="error"', "errored"),
     ('status="skipped"', "skipped"), ('result="suppressed"', "skipped")],
)  # fmt: skip
def test_what_the_attributes_of_a_case_say_counts(attributes: str, state: str) -> None:
    report = read(f'<testsuite name="a"><testcase name="x" {attributes}/><testcase name="y"/></testsuite>')
    assert report.counts.as_json()[state] == 1
    assert report.all_green is (state == "skipped")
    inside = read(f'<testsuite><testcase name="x" {attributes}><failure message="why"/></testcase></testsuite>')
    assert inside.failures[0].message == "why"


def test_a_status_that_nobody_knows_is_a_gap_and_the_usual_ones_are_none() -> None:
    report = read('<testsuite><testcase name="x" status="exploded"/></testsuite>')
    assert report.gaps == ["x has the status 'exploded', of which nobody knows what it means."]
    assert not report.all_green
    assert read('<testsuite><testcase name="x" status="run" result="completed"/>'
                '<testcase name="y" status="Passed"/></testsuite>').all_green  # fmt: skip


@pytest.mark.parametrize("word", ["error", "failure"])
def test_an_error_of_a_suite_outside_of_its_cases_counts_as_failed(word: str) -> None:
    report = read(
        f'<testsuite name="a"><testcase name="y"/><{word} message="set-up broke">Traceback</{word}>'
        '<testcase name="z"/></testsuite>'
    )
    assert (report.counts.passed, report.counts.failed + report.counts.errored) == (2, 1)
    assert [(one.suite, one.name, one.message, one.details) for one in report.failures] == [
        ("a", "(outside of any case)", "set-up broke", "Traceback")
    ]
    assert not report.all_green


@pytest.mark.parametrize("count", ["10.0", "1,000", "-1", "many"])
@pytest.mark.parametrize("counter", ["tests", "failures", "errors", "skipped"])
def test_a_counter_that_cannot_be_read_is_a_gap(counter: str, count: str) -> None:
    report = read(f'<testsuite name="a" {counter}="{count}"><testcase name="y"/></testsuite>')
    assert report.gaps == [f"a declares {counter}='{count}', which is no number of tests."]
    assert not report.all_green


def test_declared_skips_that_nobody_skipped_are_not_green() -> None:
    cases = '<testcase name="y"/><testcase name="z"/>'
    report = read(f'<testsuite name="a" tests="2" skipped="2">{cases}</testsuite>')
    assert report.gaps == ["a declares 2 skipped tests and contains 0."]
    assert not report.all_green
    assert read(f'<testsuite name="a" tests="3" skipped="1">{cases}'
                '<testcase name="w"><skipped/></testcase></testsuite>').all_green  # fmt: skip


def test_more_declared_than_contained_is_not_green() -> None:
    report = read('<testsuite name="unit" tests="10"><testcase name="a"/></testsuite>')
    assert report.gaps == ["unit declares 10 tests and contains 1."]
    assert not report.all_green


def test_declared_failures_that_are_not_named_are_not_green() -> None:
    report = read('<testsuite name="unit" tests="1" failures="1" errors="1"><testcase name="a"/></testsuite>')
    assert report.gaps == ["unit declares 2 failures and errors and contains 0."]
    assert not report.all_green


def test_repeated_names_are_counted_each_and_a_failure_among_them_stays() -> None:
    report = read(
        '<testsuite><testcase name="a"><failure message="once"/></testcase><testcase name="a"/>'
        '<testcase name="a"/></testsuite>'
    )
    assert (report.counts.total, report.counts.failed, report.repeated) == (3, 1, 2)
    assert not report.all_green


def test_the_worst_word_in_a_case_wins() -> None:
    report = read('<testsuite><testcase name="a"><skipped/><error message="broke"/><failure/></testcase></testsuite>')
    assert (report.counts.errored, report.counts.failed, report.counts.skipped) == (1, 0, 0)
    assert report.failures[0].message == "broke"


def test_it_refuses_an_entity_bomb() -> None:
    bomb = '<!DOCTYPE t [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>'
    with pytest.raises(CheckError, match="declares a document type or entities"):
        read(bomb)


def test_it_refuses_an_external_entity() -> None:
    text = '<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuite><testcase name="&x;"/></testsuite>'
    with pytest.raises(CheckError, match="declares a document type"):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        '<testsuite><testcase name="a"/>',
        '<testsuite><testcase name="a"',
        '<testsuite><testcase name="a"/></testsuites>',
        "not xml at all",
        b'<?xml version="1.0" encoding="utf-8"?><testsuite name="\xff\xfe"/>',
        '<testsuite name="\x00"/>',
    ],
)
def test_it_refuses_a_report_that_is_not_whole(text: str | bytes) -> None:
    with pytest.raises(CheckError, match="is not whole XML"):
        read(text)


def test_it_refuses_an_empty_file() -> None:
    with pytest.raises(CheckError, match="is empty"):
        read("")


def test_it_refuses_other_xml() -> None:
    with pytest.raises(CheckError, match="begins with <coverage>"):
        read("<coverage><testcase name='a'/></coverage>")


def test_it_refuses_very_deep_nesting() -> None:
    with pytest.raises(CheckError, match="nested deeper"):
        read("<testsuite>" * 200 + "</testsuite>" * 200)


def test_one_broken_file_makes_all_of_them_say_nothing() -> None:
    with pytest.raises(CheckError, match=r"report-2\.xml"):
        read('<testsuite><testcase name="a"/></testsuite>', "<testsuite>")


def test_odd_times_never_reach_a_figure() -> None:
    report = read('<testsuite><testcase name="a" time="nan"/><testcase name="b" time="-1"/>'
                  '<testcase name="c" time="inf"/><testcase name="d" time="x"/></testsuite>')  # fmt: skip
    assert report.counts.seconds == 0
    assert report.all_green


def test_it_reads_which_build_a_report_is_about() -> None:
    report = read(
        '<testsuite><properties><property name="gonogo.build_digest" value="ABC"/></properties>'
        '<testcase name="a"/></testsuite>'
    )
    assert report.builds == {"abc"}


def _big(cases: int, output: int) -> bytes:
    noise = "x" * output
    body = "".join(
        f'<testcase classname="suite.C{number % 700}" name="case {number}" time="0.001">'
        f"{'<failure message=&quot;no&quot;>' if number % 100 == 0 else ''}"
        f"{'</failure>' if number % 100 == 0 else ''}<system-out>{noise}</system-out></testcase>"
        for number in range(cases)
    ).replace("&quot;", '"')
    return f'<testsuites><testsuite name="big" tests="{cases}">{body}</testsuite></testsuites>'.encode()


@pytest.mark.campaign
def test_fifty_thousand_cases_are_read_in_little_memory() -> None:
    source = io.BytesIO(_big(50_000, 300))
    tracemalloc.start()
    try:
        report = read_reports([("big.xml", source)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert report.counts.total == 50_000
    assert report.counts.failed == 500
    assert len(report.failures) == 100
    assert report.as_json()["failures_not_shown"] == 400
    assert len(report.slowest) == 10
    assert peak < 12_000_000


def test_texts_are_bounded() -> None:
    long = "y" * 1_000_000
    report = read(
        f'<testsuite><testcase name="{long}"><failure message="{long}">{long}</failure></testcase></testsuite>'
    )
    failure = report.failures[0]
    assert (len(failure.name), len(failure.message), len(failure.details)) == (300, 500, 4000)
