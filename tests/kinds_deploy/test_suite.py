"""The kind suite, run for real by the engine."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from checks import engine, services
from checks.forms import LaunchForm
from checks.kinds.base import get_kind
from checks.page_queries import startable
from releases.domain.environment import adopt_build
from releases.errors import DomainError
from releases.models import Evidence
from tests.engine.support import application_with, check, log_text, run_section, start
from tests.factories import ReleaseFactory, make_team

pytestmark = pytest.mark.django_db(transaction=True)

GREEN = '<testsuite name="unit" tests="2"><testcase name="a" time="0.1"/><testcase name="b"/></testsuite>'
RED = (
    '<testsuite name="unit"><testcase name="a"/>'
    '<testcase name="b"><failure message="1 is not 2"/></testcase></testsuite>'
)
ABOUT = (
    '<testsuite><properties><property name="gonogo.build_digest" value="{}"/></properties>'
    '<testcase name="a"/></testsuite>'
)


def suite(folder: Path, script: str, **params: Any) -> Any:
    command = {"script": script, "timeout": params.pop("timeout", "20s")}
    return application_with({"unit": check("suite", params={"command": command, **params})}, folder=folder)


def writes(text: str, then: str = "true") -> str:
    return f"mkdir -p \"$GONOGO_WORK/reports\"; printf '%s' '{text}' > \"$GONOGO_WORK/reports/unit.xml\"; {then}"


def test_green_reports_and_a_good_exit_pass(tmp_path: Path, storage_folder: Path) -> None:
    run = run_section(suite(tmp_path, writes(GREEN)), "checks.unit")
    assert (run.state, run.summary) == ("passed", "2 tests, 0 failed."), log_text(run)
    assert run.result["figures"]["tests"] == 2
    assert [artifact["name"] for artifact in run.result["artifacts"]] == ["reports/1-unit.xml", "cases.csv"]


def test_a_failure_is_named_with_its_message(tmp_path: Path, storage_folder: Path) -> None:
    run = run_section(suite(tmp_path, writes(RED, "exit 1")), "checks.unit")
    assert (run.state, run.summary) == ("failed", "2 tests, 1 failed: b")
    assert run.result["failures"][0]["message"] == "1 is not 2"


def test_green_reports_and_a_bad_exit_are_no_pass(tmp_path: Path, storage_folder: Path) -> None:
    run = run_section(suite(tmp_path, writes(GREEN, "exit 3")), "checks.unit")
    assert run.state == "failed"
    assert "but the test command ended with 3" in run.summary


def test_no_test_is_no_pass(tmp_path: Path, storage_folder: Path) -> None:
    run = run_section(suite(tmp_path, writes("<testsuites/>")), "checks.unit")
    assert (run.state, run.summary) == ("failed", "No test was run: that is not a pass.")


def test_no_report_is_an_error_of_the_check(tmp_path: Path, storage_folder: Path) -> None:
    run = run_section(suite(tmp_path, "true"), "checks.unit")
    assert run.state == "errored"
    assert "No report matches reports/*.xml. The test command ended with 0." in run.error


def test_a_report_of_before_is_not_counted(tmp_path: Path, storage_folder: Path) -> None:
    (tmp_path / "reports").mkdir()
    old = tmp_path / "reports" / "unit.xml"
    old.write_text(GREEN)
    os.utime(old, (time.time() - 60, time.time() - 60))
    run = run_section(suite(tmp_path, "true"), "checks.unit")
    assert run.state == "errored"
    assert "Only reports from before this run match reports/*.xml: unit.xml." in run.error
    assert "before this run: not counted" in log_text(run)


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ({"reports": ["reports/unit.xml", "reports/integration.xml"]}, "No report matches reports/integration.xml."),
        ({"reports": ["old/*.xml", "reports/*.xml"]}, "Only reports from before this run match old/*.xml: last.xml."),
        ({"coverage": ["coverage.xml"]}, "No coverage matches coverage.xml."),
    ],
)
def test_each_of_the_declared_reports_must_have_been_written(
    tmp_path: Path, storage_folder: Path, missing: dict[str, Any], why: str
) -> None:
    (tmp_path / "old").mkdir()
    old = tmp_path / "old" / "last.xml"
    old.write_text(GREEN)
    os.utime(old, (time.time() - 60, time.time() - 60))
    run = run_section(suite(tmp_path, writes(GREEN), **missing), "checks.unit")
    assert run.state == "errored", run.summary
    assert f"{why} The test command ended with 0." in run.error


def test_a_report_in_the_plan_folder_is_found(tmp_path: Path, storage_folder: Path) -> None:
    script = f"mkdir -p out/deep; printf '%s' '{GREEN}' > out/deep/a.xml"
    run = run_section(suite(tmp_path, script, reports=["out/**/*.xml"]), "checks.unit")
    assert run.state == "passed", run.error


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path, storage_folder: Path) -> None:
    folder, outside = tmp_path / "plan", tmp_path / "outside.xml"
    folder.mkdir()
    outside.write_text(GREEN)
    run = run_section(suite(folder, f"ln -s {outside} link.xml; touch {outside}", reports=["link.xml"]), "checks.unit")
    assert run.state == "errored"


def test_a_truncated_report_is_an_error_of_the_check(tmp_path: Path, storage_folder: Path) -> None:
    run = run_section(suite(tmp_path, writes(GREEN[:-14])), "checks.unit")
    assert run.state == "errored"
    assert "is not whole XML" in run.error


def test_tests_that_never_end_say_nothing(tmp_path: Path, storage_folder: Path) -> None:
    run = run_section(suite(tmp_path, writes(GREEN, "sleep 30"), timeout="500ms"), "checks.unit")
    assert run.state == "errored"
    assert "nothing is known about the rest" in run.error


def upload(application: Any, text: str, name: str = "unit.xml") -> str:
    return default_storage.save(f"uploads/{application.slug}/{name}", ContentFile(text.encode()))


def test_an_uploaded_report_is_read_and_says_so(storage_folder: Path) -> None:
    application = application_with({"unit": check("suite")})
    run = run_section(application, "checks.unit", params={"uploaded": upload(application, GREEN)})
    assert run.state == "passed", run.error
    assert "uploaded by nobody who is named; the report does not name its build" in run.summary


def test_no_upload_answers_where_the_plan_runs_the_tests_itself(tmp_path: Path, storage_folder: Path) -> None:
    application = suite(tmp_path, writes(RED))
    with pytest.raises(DomainError, match="names a command for these tests, so no uploaded report answers"):
        start(application, "checks.unit", params={"uploaded": upload(application, GREEN)})
    with pytest.raises(DomainError, match="names a command for these tests"):
        start(application, "checks.unit", params={"uploaded_coverage": upload(application, GREEN)})
    assert "uploaded" not in LaunchForm(get_kind("suite"), {"command": {"script": "x", "timeout": "9s"}}).fields
    allowed = suite(tmp_path, writes(RED), uploads=True)
    actor = make_team(allowed).engineer
    run = run_section(allowed, "checks.unit", params={"uploaded": upload(allowed, GREEN)}, actor=actor)
    assert (run.state, f"uploaded by {actor};" in run.summary) == ("passed", True), run.error
    run = run_section(allowed, "checks.unit", params={"uploaded": upload(allowed, RED)}, actor=actor)
    assert (run.state, f"1 failed: b (uploaded by {actor};" in run.summary) == ("failed", True), run.summary


def test_a_report_says_something_once(storage_folder: Path) -> None:
    application = application_with({"unit": check("suite"), "other": check("suite")})
    first = run_section(application, "checks.unit", params={"uploaded": upload(application, GREEN)})
    assert first.state == "passed", first.error
    red = run_section(application, "checks.unit", params={"uploaded": upload(application, RED)})
    assert red.state == "failed"
    again = run_section(application, "checks.unit", params={"uploaded": upload(application, GREEN)})
    assert (again.state, again.verdict) == ("cancelled", ""), "what was said before stands"
    assert f"Run #{first.number} judged this very report already, byte for byte" in again.error
    assert run_section(application, "checks.other", params={"uploaded": upload(application, GREEN)}).state == "passed"


def test_a_report_that_is_sent_again_takes_nothing_away_from_what_it_said(storage_folder: Path) -> None:
    application = application_with({"unit": check("suite")})
    release, params = ReleaseFactory(application=application), {"uploaded": upload(application, GREEN)}
    first = run_section(application, "checks.unit", release=release, params=params)
    again = services.retry_run(run=first, actor=make_team(application).engineer)
    engine.execute(again.pk)
    assert [(row.run_id, row.verdict) for row in release.evidence.all()] == [(first.pk, "passed")]


def test_an_uploaded_report_of_another_build_is_refused(storage_folder: Path) -> None:
    application = application_with({"unit": check("suite")})
    release = ReleaseFactory(application=application)
    other = upload(application, ABOUT.format("f" * 64))
    run = run_section(application, "checks.unit", release=release, params={"uploaded": other})
    assert run.state == "errored"
    assert "is about the build" in run.error
    own = upload(application, ABOUT.format(release.build_digest))
    run = run_section(application, "checks.unit", release=release, params={"uploaded": own})
    assert (run.state, run.summary) == ("passed", "1 tests, 0 failed (uploaded by nobody who is named).")
    assert Evidence.objects.get(run_id=run.pk).verdict == "passed"


def test_who_runs_an_uploaded_report_again_takes_nothing_from_who_vouches_for_it(storage_folder: Path) -> None:
    application = application_with({"unit": check("suite")})
    team, release = make_team(application), ReleaseFactory(application=application)
    uploaded = {"uploaded": upload(application, GREEN)}
    run = start(application, "checks.unit", release=release, params=uploaded, actor=team.engineer)
    run = services.cancel_run(run=run, actor=team.engineer)
    again = services.retry_run(run=run, actor=team.manager)
    engine.execute(again.pk)
    assert Evidence.objects.get(run_id=again.pk).author == team.engineer


@pytest.mark.parametrize("key", ["backups/secret.xml", "uploads/other/unit.xml", "uploads/../x", "/etc/passwd"])
def test_no_other_stored_file_is_read(storage_folder: Path, key: str) -> None:
    application = application_with({"unit": check("suite")})
    run = run_section(application, "checks.unit", params={"uploaded": key})
    assert run.state == "errored"
    assert "There is no uploaded report" in run.error


def test_neither_command_nor_upload_is_an_error(storage_folder: Path) -> None:
    run = run_section(application_with({"unit": check("suite")}), "checks.unit")
    assert run.state == "errored"
    assert "neither a test command in the plan nor an uploaded report" in run.error


def test_tests_that_ask_the_environment_say_nothing_of_a_build_that_does_not_run_there(
    tmp_path: Path, storage_folder: Path
) -> None:
    application = suite(tmp_path, writes(GREEN), alone=True)
    team = make_team(application)
    release = ReleaseFactory(application=application)
    staging = release.source_environment
    with pytest.raises(DomainError, match=r"staging runs a build that nobody can name, not .* Deploy it there first"):
        run_section(application, "checks.unit", release=release)
    (offered,) = [one for one in startable(release) if one.section == "checks.unit"]
    assert "there first" in offered.refusal
    adopt_build(
        environment=staging, version=release.version, build_digest=release.build_digest, actor=team.manager,
        reason="It runs there.",
    )  # fmt: skip
    assert run_section(application, "checks.unit", release=release).state == "passed"


def test_one_that_ends_on_another_build_than_it_began_with_says_nothing(tmp_path: Path, storage_folder: Path) -> None:
    application = suite(tmp_path, writes(GREEN), alone=True)
    team = make_team(application)
    release = ReleaseFactory(application=application)
    facts = {"environment": release.source_environment, "actor": team.manager, "reason": "It runs there."}
    adopt_build(version=release.version, build_digest=release.build_digest, **facts)
    run = start(application, "checks.unit", release=release)
    adopt_build(version="0.9", build_digest="0" * 64, **facts)
    engine.execute(run.pk)
    ended = engine.load(run.pk)
    assert (ended.state, ended.verdict) == ("errored", "errored")
    assert "staging runs 0.9, not the build of this release" in ended.error
