"""One attempt of one run, from its claim to its end."""

from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from checks.models import RunStep
from releases.models import Evidence, LedgerEntry
from tests.engine.support import application_with, check, log_lines, run_section
from tests.factories import ReleaseFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def application(tmp_path: Path) -> Any:
    return application_with(
        {"command": check("test_command"), "build": check("test_build"), "steps": check("test_steps")}, folder=tmp_path
    )


def test_it_runs_a_command_and_keeps_its_lines(application: Any) -> None:
    run = run_section(
        application, "checks.command", params={"argv": ["sh", "-c", "echo one; echo two >&2; printf three"]}
    )
    assert (run.state, run.verdict, run.attempt) == ("passed", "passed", 1)
    assert log_lines(run, kinds="o") == ["one", "two", "three"]
    assert log_lines(run, kinds="c") == ["sh -c 'echo one; echo two >&2; printf three'"]
    assert run.log_sealed
    assert run.log_lines == len(log_lines(run))
    assert run.result["figures"] == {"returncode": 0}
    assert run.ended_at is not None
    assert run.owner is None


def test_it_says_failed_when_the_check_said_no(application: Any) -> None:
    run = run_section(application, "checks.command", params={"passed": False})
    assert (run.state, run.verdict) == ("failed", "failed")
    assert list(run.steps.values_list("state", flat=True)) == ["passed", "failed"]


def test_it_says_errored_when_a_command_fails(application: Any) -> None:
    run = run_section(application, "checks.command", params={"argv": ["sh", "-c", "exit 7"]})
    assert run.state == RunState.ERRORED
    assert "exit status 7" in run.error
    assert run.remedy
    assert list(run.steps.values_list("state", flat=True)) == ["errored", "skipped"]


def test_it_says_errored_with_the_traceback_in_the_log_only(application: Any) -> None:
    run = run_section(application, "checks.command", params={"raises": "surprise"})
    assert run.state == RunState.ERRORED
    assert "ValueError: surprise" in run.error
    assert "Traceback" not in run.error
    assert any("Traceback" in line for line in log_lines(run, kinds="e"))


def test_it_says_errored_for_a_missing_program(application: Any) -> None:
    run = run_section(application, "checks.command", params={"argv": ["no-such-program"]})
    assert run.state == RunState.ERRORED
    assert "no program no-such-program" in run.error


def test_it_ends_a_command_that_takes_too_long(application: Any) -> None:
    run = run_section(application, "checks.command", params={"argv": ["sleep", "60"], "timeout": 0.3})
    assert run.state == RunState.ERRORED
    assert "took longer than 0.3 s" in run.error


def test_evidence_names_build_section_and_end(application: Any) -> None:
    release = ReleaseFactory(application=application)
    run = run_section(application, "checks.command", release=release)
    evidence = Evidence.objects.get(run_id=run.pk)
    assert (evidence.verdict, evidence.build_digest) == ("passed", release.build_digest)
    assert evidence.section_digest == release.plan_version.sections["checks.command"]
    assert evidence.valid_until is not None


def test_an_errored_run_is_evidence_of_no_pass(application: Any) -> None:
    release = ReleaseFactory(application=application)
    run = run_section(application, "checks.command", release=release, params={"raises": "check"})
    assert Evidence.objects.get(run_id=run.pk).verdict == "errored"


def test_what_an_inconclusive_run_saw_is_kept_and_it_is_no_pass(application: Any) -> None:
    release = ReleaseFactory(application=application, rehearsing=False)
    params = {"inconclusive": True, "passed": True, "store": {"seen.txt": "this much"}}
    run = run_section(application, "checks.command", release=release, params=params)
    assert (run.state, run.error, run.remedy) == ("errored", "Too little was seen.", "Look further.")
    assert run.result["figures"] == {"returncode": 0}
    assert [kept["name"] for kept in run.result["artifacts"]] == ["seen.txt"]
    assert Evidence.objects.get(run_id=run.pk).verdict == "errored"


def test_a_refused_consequence_is_never_a_pass(application: Any) -> None:
    release = ReleaseFactory(application=application)
    run = run_section(application, "checks.command", release=release, params={"refuse_end": True})
    assert run.state == RunState.ERRORED
    assert "The domain does not want this to end so." in run.error
    assert Evidence.objects.get(run_id=run.pk).verdict == "errored"


def test_a_refused_start_ends_as_errored(application: Any) -> None:
    run = run_section(application, "checks.command", params={"refuse_start": True})
    assert (run.state, run.error) == ("errored", "The domain does not want this to start.")


def test_a_changed_build_in_storage_is_not_run(application: Any) -> None:
    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage

    release = ReleaseFactory(application=application)
    default_storage.delete(release.build_key)
    default_storage.save(release.build_key, ContentFile(b"something else"))
    run = run_section(application, "checks.command", release=release, params={"argv": ["touch", "ran"]})
    assert run.state == RunState.ERRORED
    assert "not the one this release was made of" in run.error
    assert not (Path(application.plan_folder) / "ran").exists()


def test_commands_get_the_build_and_a_clean_environment(application: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMETHING_OF_THE_WORKER", "visible")
    release = ReleaseFactory(application=application)
    run = run_section(
        application,
        "checks.command",
        release=release,
        params={"argv": ["sh", "-c", 'sha256sum <"$GONOGO_BUILD_FILE"; env | cut -d= -f1 | sort; pwd']},
    )
    lines = log_lines(run, kinds="o")
    assert lines[0].split()[0] == release.build_digest
    assert lines[-1] == "."  # the plan's folder, in which commands are started
    names = {name for name in lines[1:-1] if not name.startswith("GONOGO_")}
    assert names <= {"PATH", "HOME", "LANG", "TZ", "PWD", "OLDPWD", "SHLVL", "_"}


def test_progress_and_steps_are_kept(application: Any) -> None:
    run = run_section(application, "checks.steps", params={"updates": 50})
    assert run.state == RunState.PASSED
    first, second = RunStep.objects.filter(run=run).order_by("position")
    assert (first.state, first.fraction) == ("passed", 1.0)
    assert (second.state, second.reason) == ("skipped", "not needed")
    assert run.progress["fraction"] == 1.0


def test_it_writes_the_ledger(application: Any) -> None:
    run = run_section(application, "checks.command")
    entries = LedgerEntry.objects.filter(subject_type="run", subject_id=str(run.pk)).order_by("sequence")
    assert [entry.action for entry in entries] == ["run.started", "run.ended"]
    assert entries[1].document["after"]["state"] == "passed"


def test_a_doubled_message_changes_nothing(application: Any) -> None:
    from checks import engine

    run = run_section(application, "checks.command")
    engine.execute(run.pk)
    assert engine.load(run.pk).attempt == 1


def test_artifacts_are_stored_and_texts_masked(application: Any) -> None:
    from django.core.files.storage import default_storage

    run = run_section(
        application,
        "checks.command",
        params={"secret_value": "hush-hush-1", "store": {"a.txt": "it is hush-hush-1.", "b.bin": "hush-hush-1"}},
    )
    text, binary = run.result["artifacts"]
    with default_storage.open(text["key"]) as stored:
        assert stored.read() == b"it is ***."
    with default_storage.open(binary["key"]) as stored:
        assert stored.read() == b"hush-hush-1"
