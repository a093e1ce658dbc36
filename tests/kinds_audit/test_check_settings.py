"""Django's check --deploy, really run: what it prints is read, its exit status alone is never believed."""

import sys
from pathlib import Path

import pytest

from checks.tools.auditing.deploy_check import DeployCheckLook, DeployCheckSection
from checks.tools.auditing.said import Severity, ToolReport, ToolStatus
from tests.kinds_audit.support import looked, rules

SOUND = {
    "SECRET_KEY": repr("k3y-" + "7h8j9k0l" * 8), "DEBUG": "False", "ALLOWED_HOSTS": "['example.org']",
    "SECURE_HSTS_SECONDS": "31536000", "SECURE_HSTS_INCLUDE_SUBDOMAINS": "True", "SECURE_HSTS_PRELOAD": "True",
    "SECURE_SSL_REDIRECT": "True", "SESSION_COOKIE_SECURE": "True", "CSRF_COOKIE_SECURE": "True",
    "INSTALLED_APPS": "['django.contrib.sessions', 'django.contrib.contenttypes', 'django.contrib.auth']",
    "MIDDLEWARE": "['django.middleware.security.SecurityMiddleware', 'django.middleware.csrf.CsrfViewMiddleware',"
    " 'django.contrib.sessions.middleware.SessionMiddleware',"
    " 'django.middleware.clickjacking.XFrameOptionsMiddleware']",
}  # fmt: skip


def look(folder: Path, command: list[str] | None = None, timeout: str = "30s", **settings: str) -> ToolReport:
    lines = [f"{name} = {value}" for name, value in {**SOUND, **settings}.items()]
    (folder / "site_settings.py").write_text("\n".join(lines))
    argv = command or [sys.executable, "-m", "django", "check", "--deploy", "--settings", "site_settings"]
    variables = {"PYTHONPATH": str(folder)}
    section = {"command": {"argv": argv, "timeout": timeout, "variables": variables}}
    return looked(DeployCheckLook(DeployCheckSection.model_validate(section)), "http://127.0.0.1:1", folder)


@pytest.mark.campaign
def test_sound_settings_are_clean_and_flaws_are_named(tmp_path: Path) -> None:
    assert (look(tmp_path).status, look(tmp_path).looked_at) == (ToolStatus.OK, 1)
    report = look(tmp_path, DEBUG="True", SESSION_COOKIE_SECURE="False", SECRET_KEY="'django-insecure-x'")
    assert rules(report) == {"security.W018", "security.W012", "security.W009"}
    severities = {found.rule: found.severity for found in report.found}
    assert severities["security.W018"] is Severity.HIGH
    assert severities["security.W012"] is Severity.MEDIUM


def test_errors_of_django_are_findings_although_the_exit_status_is_1(tmp_path: Path) -> None:
    report = look(tmp_path, X_FRAME_OPTIONS="'DENY'", SECURE_REFERRER_POLICY="'everything'")
    assert report.status is ToolStatus.FINDINGS
    assert {found.rule: found.severity for found in report.found} == {"security.E023": Severity.HIGH}


def test_silenced_checks_are_told(tmp_path: Path) -> None:
    report = look(tmp_path, DEBUG="True", SILENCED_SYSTEM_CHECKS="['security.W018']")
    assert report.notes == ("The settings silence 1 checks.",)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["/no/such/python", "manage.py", "check"], "cannot be run"),
        (["true"], "did not print what Django's check ends with"),
        (["sh", "-c", "echo 'System check identified 3 issues (0 silenced).'"], "names 3 issues, and 0 of them"),
        (["sh", "-c", "echo 'System check identified no issues (0 silenced).'; exit 3"], "ended with 3"),
        (["sleep", "5"], "took longer than 0.5 s"),
    ],
)
def test_a_command_that_does_not_say_it_is_no_pass(tmp_path: Path, command: list[str], why: str) -> None:
    report = look(tmp_path, command, timeout="500ms")
    assert report.status is ToolStatus.INCOMPLETE
    assert why in report.why


CLEAN = "echo 'System check identified no issues (0 silenced).'"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("manage.py check", False),
        ("manage.py check  # not yet with --deploy", False),
        ("manage.py check; ./release --deploy", False),
        ("manage.py check --deployment", False),
        ("manage.py check --fail-level ERROR \\\n  --deploy", True),
        ("set -x; manage.py $WHAT", True),
        ('sh "$GONOGO_PLAN_DIR/ops/check.sh"', True),
        ("sh ops/check.sh", True),
        ("true  # ops/check.sh", False),
        ('sh "${GONOGO_PLAN_DIR}/ops/half.sh"', False),
        ('sh "$GONOGO_PLAN_DIR/../outside.sh"', False),
        ('sh "$GONOGO_PLAN_DIR/ops/gone.sh"', False),
    ],
)
def test_a_check_of_which_nobody_knows_that_it_was_for_deployment_is_no_pass(
    tmp_path: Path, script: str, told: bool
) -> None:
    plan, program = tmp_path / "plan", tmp_path / "manage.py"
    (plan / "ops").mkdir(parents=True)
    (plan / "ops" / "check.sh").write_text(f"# the shop\nmanage.py check --deploy\n{CLEAN}\n")
    (plan / "ops" / "half.sh").write_text(f"# without --deploy\nmanage.py check\n{CLEAN}\n")
    (tmp_path / "outside.sh").write_text("manage.py check --deploy\n")
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o700)
    variables = {"WHAT": "check --deploy", "GONOGO_PLAN_DIR": str(plan)}
    whole = f"PATH={tmp_path}:$PATH\n{script} || true\n{CLEAN}"
    section = {"command": {"script": whole, "timeout": "9s", "variables": variables}}
    report = looked(DeployCheckLook(DeployCheckSection.model_validate(section)), "http://127.0.0.1:1", plan)
    assert (report.status, "--deploy" in report.why) == (
        (ToolStatus.OK, False) if told else (ToolStatus.INCOMPLETE, True)
    ), report.why


def test_settings_that_cannot_be_read_are_no_pass(tmp_path: Path) -> None:
    assert look(tmp_path, ALLOWED_HOSTS="[").status is ToolStatus.INCOMPLETE
