"""A suite against earlier runs: flaky tests, new failures, gone and slower ones, and what covers the lines."""

import tracemalloc
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.template.loader import render_to_string

from checks.errors import CheckError
from checks.models import Run
from checks.tools import case_history, cobertura
from releases.models import Application, Evidence, Release
from tests.engine.support import application_with, check, log_text, run_section
from tests.factories import make_release, member

pytestmark = pytest.mark.django_db(transaction=True)


def junit(**tests: Any) -> str:
    """Name -> seconds, or 'failed', 'skipped' or 'again', which passed when it was tried again."""
    words = {"failed": "<failure message='no'/>", "skipped": "<skipped/>", "again": "<flakyFailure message='once'/>"}
    cases = "".join(
        f'<testcase classname="shop" name="{name}" time="{value if name and not isinstance(value, str) else 0.01}">'
        f"{words.get(value, '') if isinstance(value, str) else ''}</testcase>"
        for name, value in tests.items()
    )
    return f'<testsuite name="unit">{cases}</testsuite>'


COVERAGE = """<?xml version="1.0" ?>
<!DOCTYPE coverage SYSTEM 'http://cobertura.sourceforge.net/xml/coverage-04.dtd'>
<coverage lines-valid="4" lines-covered="3"><packages><package name="shop"><classes>
<class name="a" filename="shop/a.py"><methods><method name="m"><lines><line number="1" hits="1"/></lines></method>
</methods><lines><line number="1" hits="1"/><line number="2" hits="5"/></lines></class>
<class name="b" filename="shop/b.py"><lines><line number="1" hits="0"/><line number="2" hits="1"/></lines></class>
</classes></package></packages></coverage>"""


def sent(application: Application, text: str, name: str = "unit.xml") -> str:
    """Each with a mark of its own, as the times of a real one would be."""
    return default_storage.save(f"uploads/{application.slug}/{name}", ContentFile(f"{text}<!-- {uuid4()} -->".encode()))


class Suite:
    """One application, its releases, and what its tests said."""

    def __init__(self, folder: Path, **params: Any) -> None:
        self.application = application_with({"unit": check("suite", params=params)}, folder=folder)

    def release(self) -> Release:
        return make_release(application=self.application, rehearsing=False)

    def run(self, release: Release | None, coverage: str = "", **tests: Any) -> Run:
        params = {"uploaded": sent(self.application, junit(**tests))}
        if coverage:
            params["uploaded_coverage"] = sent(self.application, coverage, "coverage.xml")
        return run_section(self.application, "checks.unit", release=release, params=params)


def page(run: Run) -> str:
    return render_to_string("checks/kinds/suite.html", {"run": run})


def names(found: list[dict[str, Any]]) -> list[str]:
    return [entry["test"].removeprefix("shop.") for entry in found]


def test_what_is_new_gone_skipped_and_slower_is_named(storage_folder: Path, tmp_path: Path) -> None:
    suite = Suite(tmp_path)
    first = suite.run(suite.release(), buy=0.1, sell=0.1, lend=0.1, slow=0.4, quick=0.001, gone=0.1, old="failed")
    assert "no earlier build" in page(first)
    run = suite.run(
        suite.release(), buy="failed", sell="skipped", lend=0.1, slow=1.9, quick=0.3, old="failed", fresh="failed"
    )
    compared = run.result["compared"]
    assert compared["base"]["run"] == first.number
    assert names(compared["new_failures"]) == ["buy", "fresh"]
    assert names(compared["gone"]) == ["gone"]
    assert names(compared["not_run"]) == ["sell"]
    assert [(names([entry])[0], entry["before"], entry["now"]) for entry in compared["slower"]] == [("slow", 0.4, 1.9)]
    assert compared["counts"]["added"] == 1
    assert compared["flaky"] == []
    assert "(2 new since the last release) (uploaded by nobody who is named; " in run.summary
    text = page(run)
    assert "Slower means: more than 2 times the median" in text
    assert "style=" not in text


def test_the_last_release_is_the_one_that_went_live(storage_folder: Path, tmp_path: Path) -> None:
    suite = Suite(tmp_path)
    live, other = suite.release(), suite.release()
    before = suite.run(live, buy=0.1)
    suite.run(other, sell=0.1)
    Release.objects.filter(pk=live.pk).update(live_at="2026-01-01T00:00Z")
    run = suite.run(suite.release(), buy=0.1, sell=0.1)
    assert run.result["compared"]["base"]["run"] == before.number


@pytest.mark.campaign
def test_a_test_that_changed_its_mind_about_one_build_is_flaky(storage_folder: Path, tmp_path: Path) -> None:
    suite = Suite(tmp_path)
    release = suite.release()
    first = suite.run(release, buy="failed", sell=0.1)
    run = suite.run(release, buy=0.1, sell=0.1)
    assert (first.state, run.state) == ("failed", "passed")
    found = run.result["compared"]["flaky"]
    assert names(found) == ["buy"]
    assert found[0]["runs"] == [
        {"run": run.number, "state": "passed"},
        {"run": first.number, "state": "failed"},
    ]
    third = suite.run(release, buy=0.1, sell=0.1)
    (again,) = third.result["compared"]["flaky"]
    assert [seen["state"] for seen in again["runs"]] == ["passed", "passed", "failed"], (
        "all runs of the build are shown"
    )
    suite.run(release, buy="skipped", sell=0.1)
    assert "Skipped" in page(suite.run(release, buy=0.1, sell=0.1))
    assert run.result["figures"]["flaky"] == 1
    assert "of the same build" in page(run)
    assert "<dt>Run</dt><dd>2</dd>" in page(run)
    skipping = suite.run(suite.release(), buy="skipped", sell=0.1)
    assert "<dt>Run</dt><dd>1</dd>" in page(skipping), "what was skipped was not run"
    # The same tests failing for another build have changed because the build did.
    assert suite.run(suite.release(), buy="failed", sell=0.1).result["compared"]["flaky"] == []


def cut_off(run: Run) -> None:
    """The second half of the cases that a run kept is lost, in the middle of a line."""
    key = next(each["key"] for each in run.result["artifacts"] if each["name"] == case_history.FILE)
    with default_storage.open(key) as kept:
        whole = kept.read()
    default_storage.delete(key)
    default_storage.save(key, ContentFile(whole[: whole.index(b"sell") + 8]))


def test_of_a_list_that_is_cut_off_nothing_is_compared_not_even_what_is_left(
    storage_folder: Path, tmp_path: Path
) -> None:
    suite = Suite(tmp_path)
    older, newer, release = suite.release(), suite.release(), suite.release()
    suite.run(older, buy="failed")
    cut_off(suite.run(newer, buy=0.1, sell=0.1, lend=0.1))
    compared = suite.run(release, buy="failed", sell=0.1).result["compared"]
    assert compared["base"] is None
    assert "cannot be read any more" in compared["why"]
    cut_off(suite.run(release, buy=0.1, sell=0.1, lend=0.1))
    again = suite.run(release, buy=0.1, sell=0.1).result["compared"]
    assert again["runs_of_this_build"] == 2, "itself and the first one"
    assert [seen["state"] for seen in again["flaky"][0]["runs"]] == ["passed", "failed"]


def test_where_the_newest_run_of_the_last_release_cannot_be_read_an_older_one_of_it_is(
    storage_folder: Path, tmp_path: Path
) -> None:
    suite = Suite(tmp_path)
    before = suite.release()
    first, second = suite.run(before, buy=0.1, sell=0.1), suite.run(before, buy=0.1, sell=0.1, gone=0.1)
    cut_off(second)
    compared = suite.run(suite.release(), buy="failed", sell=0.1).result["compared"]
    assert compared["base"]["run"] == first.number
    assert names(compared["new_failures"]) == ["buy"]
    assert compared["gone"] == []


@pytest.mark.parametrize(
    ("refused", "now", "word"),
    [("gone", {"sell": 0.1}, "gone"), ("not_run", {"buy": "skipped", "sell": 0.1}, "no longer run"),
     ("slower", {"buy": 3.0, "sell": 0.1}, "slower"),
     ("flaky", {"buy": "again", "sell": 0.1}, "1 tests were tried more than once, and the plan refuses flaky ones")],
)  # fmt: skip
def test_the_plan_may_refuse_more_than_failures(
    storage_folder: Path, tmp_path: Path, refused: str, now: dict[str, Any], word: str
) -> None:
    suite = Suite(tmp_path, refuse=[refused])
    assert suite.run(suite.release(), buy=0.1, sell=0.1).state == "passed"
    run = suite.run(suite.release(), **now)
    assert run.state == "failed", log_text(run)
    assert word in run.summary


def test_coverage_is_read_judged_and_compared_with_what_the_plan_asks(storage_folder: Path, tmp_path: Path) -> None:
    suite = Suite(tmp_path, least_coverage=70)
    run = suite.run(suite.release(), COVERAGE, buy=0.1)
    assert run.state == "passed", log_text(run)
    assert run.result["coverage"]["share"] == 0.75
    assert run.result["coverage"]["least"][0] == {"share": 0.5, "lines": 2, "file": "shop/b.py"}
    assert "75.0% of the lines covered" in run.summary
    assert "shop/b.py" in page(run)
    assert suite.run(suite.release(), buy=0.1).state == "failed"
    strict = Suite(tmp_path, least_coverage=80)
    assert "the plan asks for 80 %" in strict.run(strict.release(), COVERAGE, buy=0.1).summary


@pytest.mark.parametrize(
    "text",
    ["", COVERAGE[:-40], "<coverage/>", "<testsuite/>", COVERAGE.replace('"4"', '"40"'),
     COVERAGE.replace('lines-valid="4"', 'lines-valid="4.0"'), COVERAGE.replace('hits="0"', 'hits="-3"'),
     COVERAGE.replace('hits="0"', 'hits="no"'), COVERAGE.replace('hits="0"', 'hits=""'),
     COVERAGE.replace("SYSTEM 'http://cobertura.sourceforge.net/xml/coverage-04.dtd'", "[<!ENTITY a 'b'>]"),
     COVERAGE.replace("'http://cobertura.sourceforge.net/xml/coverage-04.dtd'", "'x' [<!ENTITY % a SYSTEM 'f'> %a;]")],
    ids=["empty", "truncated", "no line", "not coverage", "fewer lines than declared", "lines that are no number",
         "fewer than no hits", "hits in words", "no hits said", "an entity", "an outer entity"],
)  # fmt: skip
def test_coverage_that_is_not_whole_is_an_error(storage_folder: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "coverage.xml"
    path.write_text(text)
    with path.open("rb") as source, pytest.raises(CheckError):
        cobertura.read_coverage([("coverage.xml", source)])


def test_a_report_sent_for_another_build_answers_nothing(storage_folder: Path, tmp_path: Path) -> None:
    suite = Suite(tmp_path)
    release = suite.release()
    actor = member(suite.application, "engineer")
    key = f"uploads/{suite.application.slug}/sha256-{'a' * 64}/unit.xml"
    params = {"uploaded": default_storage.save(key, ContentFile(junit(buy=0.1).encode()))}
    run = run_section(suite.application, "checks.unit", release=release, params=params, actor=actor)
    assert run.state == "errored"
    assert "sent for the build aaaaaaaaaaaa" in run.error
    assert Evidence.objects.get(run_id=run.pk).verdict == "errored"
    own = f"uploads/{suite.application.slug}/sha256-{release.build_digest}/unit.xml"
    params = {"uploaded": default_storage.save(own, ContentFile(junit(buy=0.1).encode()))}
    run = run_section(suite.application, "checks.unit", release=release, params=params, actor=actor)
    assert run.state == "passed", log_text(run)
    assert run.result["names_build"] is True


@pytest.mark.campaign
def test_fifty_thousand_cases_are_compared_in_bounded_memory(storage_folder: Path, tmp_path: Path) -> None:
    cases = case_history.Cases()
    tracemalloc.start()
    for number in range(50_000):
        cases(f"suite {number % 50}", f"test_{number}", "passed", 0.01)
        cases(f"suite {number % 50}", f"test_{number}", "failed", 0.01)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(cases.found) == 50_000
    assert cases.found[case_history.Key("suite 1", "test_1")].state == "failed"
    assert peak < 60_000_000
    assert cases.write(tmp_path / "cases.csv").read_bytes().count(b"\n") == 50_001


def test_a_name_that_looks_like_a_formula_is_still_the_same_test(storage_folder: Path, tmp_path: Path) -> None:
    suite = Suite(tmp_path)
    text = '<testsuite name="=cmd"><testcase name="+1, &quot;a&quot;" time="0.1"/></testsuite>'
    for _ in range(2):
        params = {"uploaded": sent(suite.application, text)}
        run = run_section(suite.application, "checks.unit", release=suite.release(), params=params)
    assert run.result["compared"]["counts"] == {
        "new_failures": 0, "gone": 0, "not_run": 0, "slower": 0, "flaky": 0, "added": 0,
    }  # fmt: skip
