"""JUnit XML as each runner writes it: no failure of any of them may be read as a pass."""

import pytest

from tests.kinds_deploy.test_read_junit import read

#: Runner -> report, and what it means: passed, failed, errored, skipped, flaky.
WRITERS = {
    "pytest": (
        '<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1" '
        'failures="1" skipped="1" tests="4" time="0.1" timestamp="2026-11-24T10:00:00" hostname="ci">'
        '<testcase classname="tests.test_a" name="test_one" time="0.001"><properties><property name="x" value="1"/>'
        '</properties></testcase><testcase classname="tests.test_a" name="test_two"><failure message="assert '
        '0">E</failure>'
        '</testcase><testcase classname="tests.test_a" name="test_three"><skipped type="pytest.xfail" message=""/>'
        '</testcase><testcase classname="tests.test_a" name="test_four"><error message="failed on setup">E</error>'
        "</testcase></testsuite></testsuites>",
        (1, 1, 1, 1, 0),
    ),
    "Maven Surefire with reruns": (
        '<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="s.xsd" '
        'version="3.0.2" name="com.shop.CartTest" time="0.5" tests="3" errors="0" skipped="0" failures="1" flakes="1">'
        '<properties><property name="java.version" value="21"/></properties>'
        '<testcase name="adds" classname="com.shop.CartTest" time="0.1"/>'
        '<testcase name="pays" classname="com.shop.CartTest" time="0.1"><flakyFailure message="once" '
        'type="AssertionError">'
        "<stackTrace><![CDATA[at]]></stackTrace><system-out/></flakyFailure></testcase>"
        '<testcase name="ships" classname="com.shop.CartTest" time="0.1"><failure message="no" type="AssertionError"/>'
        '<rerunFailure message="no" type="AssertionError"><stackTrace/></rerunFailure></testcase></testsuite>',
        (2, 1, 0, 0, 2),
    ),
    "Gradle": (
        '<testsuite name="shop.CartTest" tests="2" skipped="1" failures="0" errors="0" timestamp="2026-11-24T10:00:00" '
        'hostname="ci" time="0.01"><properties/><testcase name="adds()" classname="shop.CartTest" time="0.01"/>'
        '<testcase name="pays()" classname="shop.CartTest" time="0.0"><skipped/></testcase>'
        "<system-out><![CDATA[]]></system-out><system-err><![CDATA[]]></system-err></testsuite>",
        (1, 0, 0, 1, 0),
    ),
    "jest-junit": (
        '<testsuites name="jest tests" tests="2" failures="1" errors="0" time="1"><testsuite name="cart" errors="0" '
        'failures="1" skipped="0" timestamp="2026-11-24T10:00:00" time="1" tests="2">'
        '<testcase classname="cart adds" name="cart adds" time="0.1"/><testcase classname="cart pays" name="cart pays">'
        "<failure>Error: expected 1</failure></testcase></testsuite></testsuites>",
        (1, 1, 0, 0, 0),
    ),
    "NUnit, transformed": (
        '<testsuites tests="3" failures="1" disabled="1" time="0.3"><testsuite tests="3" time="0.3" errors="0" '
        'failures="1" skipped="1" timestamp="2026-11-24 10:00:00Z" name="Shop.CartTests">'
        '<testcase name="Adds" assertions="1" time="0.1" status="Passed" classname="Shop.CartTests"/>'
        '<testcase name="Pays" status="Failed" classname="Shop.CartTests"><failure message="no" type="">at</failure>'
        '</testcase><testcase name="Ships" status="Skipped" classname="Shop.CartTests"><skipped message="later"/>'
        "</testcase></testsuite></testsuites>",
        (1, 1, 0, 1, 0),
    ),
    "gotestsum": (
        '<testsuites tests="2" failures="1" errors="0" time="0.2"><testsuite tests="1" failures="0" time="0.1" '
        'name="shop/cart" timestamp="2026-11-24T10:00:00Z"><properties><property name="go.version" value="go1.25"/>'
        '</properties><testcase classname="shop/cart" name="TestAdd/one" time="0.0"/></testsuite>'
        '<testsuite tests="1" failures="1" time="0" name="shop/pay"><testcase classname="shop/pay" name="TestMain">'
        '<failure message="Failed" type="">[build failed]</failure></testcase></testsuite></testsuites>',
        (1, 1, 0, 0, 0),
    ),
    "Playwright with retries": (
        '<testsuites id="" name="" tests="2" failures="1" skipped="0" errors="0" time="2"><testsuite '
        'name="cart.spec.ts" '
        'timestamp="2026-11-24T10:00:00Z" hostname="chromium" tests="2" failures="1" skipped="0" time="2" errors="0">'
        '<testcase name="cart › adds" classname="cart.spec.ts" time="1"><flakyFailure message="m" type="FAILURE"/>'
        '</testcase><testcase name="cart › pays" classname="cart.spec.ts" time="1">'
        '<failure message="cart.spec.ts:3:1 pays" type="FAILURE"><![CDATA[Error]]></failure>'
        "<system-out>[[ATTACHMENT|trace.zip]]</system-out></testcase></testsuite></testsuites>",
        (1, 1, 0, 0, 1),
    ),
    "PHPUnit, nested": (
        '<testsuites><testsuite name="phpunit.xml" tests="3" assertions="3" errors="1" failures="1" skipped="0" '
        'time="1">'
        '<testsuite name="Unit" tests="3" errors="1" failures="1" skipped="0"><testsuite name="CartTest" file="C.php" '
        'tests="3" errors="1" failures="1" skipped="0"><testsuite name="CartTest::testAdd" tests="2" failures="1">'
        '<testcase name="testAdd with data set #0" class="CartTest" classname="CartTest" file="C.php" line="9"/>'
        '<testcase name="testAdd with data set #1" classname="CartTest"><failure type="X">no</failure></testcase>'
        '</testsuite><testcase name="testPay" classname="CartTest"><error type="E">boom</error></testcase>'
        "</testsuite></testsuite></testsuite></testsuites>",
        (1, 1, 1, 0, 0),
    ),
    "Robot Framework": (
        '<testsuite name="Shop" tests="3" errors="0" failures="1" skipped="1" time="1" timestamp="2026-11-24T10:00:00">'
        '<testsuite name="Cart" tests="3" errors="0" failures="1" skipped="1" time="1">'
        '<testcase classname="Shop.Cart" name="Adds" time="0.1"/><testcase classname="Shop.Cart" name="Pays" '
        'time="0.1">'
        '<failure message="1 != 2" type="AssertionError"/></testcase><testcase classname="Shop.Cart" name="Ships">'
        '<skipped message="later" type="SkipExecution"/></testcase></testsuite></testsuite>',
        (1, 1, 0, 1, 0),
    ),
    "GoogleTest": (
        '<testsuites tests="3" failures="1" disabled="1" errors="0" time="0" name="AllTests"><testsuite name="Cart" '
        'tests="3" failures="1" disabled="1" skipped="0" errors="0"><testcase name="Adds" status="run" '
        'result="completed" classname="Cart"/><testcase name="Pays" status="run" result="completed" classname="Cart">'
        '<failure message="no" type=""><![CDATA[c.cc:3]]></failure></testcase><testcase name="DISABLED_Ships" '
        'status="notrun" result="suppressed" classname="Cart"/></testsuite></testsuites>',
        (1, 1, 0, 1, 0),
    ),
    "CTest": (
        '<testsuite name="Linux-c++" tests="3" failures="1" disabled="0" skipped="1" hostname="" time="1">'
        '<testcase name="a" classname="a" time="1" status="run"><system-out>x</system-out></testcase>'
        '<testcase name="b" classname="b" time="1" status="fail"><failure message=""/><system-out/></testcase>'
        '<testcase name="c" classname="c" time="0" status="notrun"><skipped message="SKIP"/></testcase></testsuite>',
        (1, 1, 0, 1, 0),
    ),
    "Behave": (
        '<testsuite name="cart.Cart" tests="3" errors="0" failures="1" skipped="1" time="1" hostname="ci">'
        '<testcase classname="cart.Cart" name="adds" status="passed" time="1"/><testcase classname="cart.Cart" '
        'name="pays" '
        'status="failed"><failure type="AssertionError" message="no">x</failure></testcase>'
        '<testcase classname="cart.Cart" name="ships" status="skipped"><skipped/></testcase></testsuite>',
        (1, 1, 0, 1, 0),
    ),
    "Node's own runner": (
        '<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="cart" time="0.1" disabled="0" errors="0" '
        'tests="3" failures="1" skipped="1" hostname="ci"><testcase name="adds" time="0.1" classname="test"/>'
        '<testcase name="pays" classname="test" failure="no"><failure type="testCodeFailure" message="no">E</failure>'
        '</testcase><testcase name="ships" classname="test"><skipped type="todo" '
        'message="true"/></testcase></testsuite>'
        "<!-- tests 3 --></testsuites>",
        (1, 1, 0, 1, 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("writer", sorted(WRITERS))
def test_what_a_runner_says_is_read_as_it_means_it(writer: str) -> None:
    text, said = WRITERS[writer]
    report = read(text)
    counts = report.counts
    assert (counts.passed, counts.failed, counts.errored, counts.skipped, report.flaky) == said
    assert report.gaps == []
    assert report.all_green is (said[1] + said[2] == 0)


SPELLINGS = ("failure", "Failure", "FAILURE", "Error", "j:failure", "j:Error")


@pytest.mark.parametrize(
    ("inside", "beside"),
    [*((element, "") for element in (*SPELLINGS, "failed", "rerunFailure")), *(("", element) for element in SPELLINGS)],
)
def test_a_failure_in_any_spelling_is_a_failure(inside: str, beside: str) -> None:
    def told(element: str) -> str:
        return f'<{element} message="no">why</{element}>' if element else ""

    report = read(
        f'<testsuite xmlns:j="urn:j"><testcase name="a">{told(inside)}</testcase>{told(beside)}<testcase name="b"/>'
        "</testsuite>"
    )
    assert report.counts.failed + report.counts.errored == 1
    assert (report.failures[0].message, report.failures[0].details) == ("no", "why")
    assert not report.all_green


@pytest.mark.parametrize(
    "text",
    [
        '<TestSuite Tests="3"><TestCase Name="a"/></TestSuite>',
        '<j:testsuite xmlns:j="urn:j" j:failures="1"><j:testcase name="a"/></j:testsuite>',
        '<testsuite><testcase name="a" Status="Failed"/></testsuite>',
        '<testsuite xmlns:j="urn:j"><testcase name="a" j:result="error"/></testsuite>',
    ],
)
def test_counters_and_states_count_in_any_spelling(text: str) -> None:
    report = read(text)
    assert report.counts.total == 1
    assert not report.all_green


@pytest.mark.parametrize("spelling", ["testsuite", "TESTSUITE", "j:TestSuite"])
def test_another_spelling_of_what_passed_is_a_pass(spelling: str) -> None:
    case = spelling.replace("suite", "case").replace("SUITE", "CASE").replace("Suite", "Case")
    report = read(f'<{spelling} xmlns:j="urn:j" name="unit" tests="1"><{case} name="a"/></{spelling}>')
    assert (list(report.suites), report.counts.passed, report.all_green) == (["unit"], 1, True)


@pytest.mark.parametrize("element", ["warning", "Risky", "incomplete", "inconclusive"])
def test_a_case_of_which_nobody_says_yes_or_no_is_not_green(element: str) -> None:
    report = read(
        f'<testsuite><testcase name="a"><{element}>No tests found in class</{element}></testcase></testsuite>'
    )
    assert report.gaps == [f"a holds <{element.lower()}>, which says neither that it passed nor that it failed."]
    assert not report.all_green


def test_a_case_within_a_case_is_not_green() -> None:
    report = read('<testsuite><testcase name="a"><testcase name="b" status="failed"/></testcase></testsuite>')
    assert report.gaps == ["a holds a testcase of its own, of which nobody knows whether it counts."]
    assert not report.all_green


def test_a_case_may_say_which_build_it_is_about() -> None:
    report = read(
        '<testsuite><testcase name="a"><properties><property name="gonogo.build_digest" value="DEF"/></properties>'
        "</testcase></testsuite>"
    )
    assert report.builds == {"def"}
