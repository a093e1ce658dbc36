"""Django's check --deploy, really run: what it prints is read, its exit status alone is never believed."""

import sys
from pathlib import Path
from typing import Any

import pytest

from checks.findings.fingerprints import fingerprint
from checks.tools.auditing.deploy_check import DeployCheckLook, DeployCheckSection
from checks.tools.auditing.said import Family, Severity, SystemPlace, ToolReport, ToolStatus
from tests.kinds_audit.support import looked, rules
from tests.kinds_audit.test_what_looks_cover import resolves

SOUND = {
    "SECRET_KEY": repr("k3y-" + "7h8j9k0l" * 8), "DEBUG": "False", "ALLOWED_HOSTS": "['example.org']",
    "SECURE_HSTS_SECONDS": "31536000", "SECURE_HSTS_INCLUDE_SUBDOMAINS": "True", "SECURE_HSTS_PRELOAD": "True",
    "SECURE_SSL_REDIRECT": "True", "SESSION_COOKIE_SECURE": "True", "CSRF_COOKIE_SECURE": "True",
    "INSTALLED_APPS": "['django.contrib.sessions', 'django.contrib.contenttypes', 'django.contrib.auth']",
    "MIDDLEWARE": "['django.middleware.security.SecurityMiddleware', 'django.middleware.csrf.CsrfViewMiddleware',"
    " 'django.contrib.sessions.middleware.SessionMiddleware',"
    " 'django.middleware.clickjacking.XFrameOptionsMiddleware']",
}  # fmt: skip


def look(
    folder: Path, command: list[str] | None = None, timeout: str = "30s", declared: int = 0, **settings: str
) -> ToolReport:
    lines = [f"{name} = {value}" for name, value in {**SOUND, **settings}.items()]
    (folder / "site_settings.py").write_text("\n".join(lines))
    argv = command or [sys.executable, "-m", "django", "check", "--deploy", "--settings", "site_settings"]
    variables = {"PYTHONPATH": str(folder)}
    section: dict[str, Any] = {"command": {"argv": argv, "timeout": timeout, "variables": variables}}
    if declared:
        section["silenced"] = {"messages": declared, "reason": "The proxy does it."}
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


def test_silenced_checks_are_a_finding_and_resolve_nothing(tmp_path: Path) -> None:
    silenced = {"DEBUG": "True", "SESSION_COOKIE_SECURE": "False", "SILENCED_SYSTEM_CHECKS": "['security.W018']"}
    report = look(tmp_path, **silenced)
    assert {found.rule: found.severity for found in report.found} == {
        "security.W012": Severity.MEDIUM, "silenced-checks": Severity.UNKNOWN,
    }  # fmt: skip
    place = SystemPlace("security.W018")
    assert not resolves(report, Family.CONFIGURATION, "security.W018", place)
    assert not resolves(report, Family.CONFIGURATION, "security.W004", SystemPlace("security.W004"))
    mended = look(tmp_path)
    assert resolves(mended, Family.CONFIGURATION, "security.W018", place)
    assert resolves(mended, Family.CONFIGURATION, "silenced-checks", SystemPlace("1 silenced"))
    # A plan may say how many, and why; they stay a finding, and what was held back is resolved by nothing.
    (said,) = [found for found in look(tmp_path, declared=1, **silenced).found if found.rule == "silenced-checks"]
    assert (said.severity, "The proxy does it." in said.detail) == (Severity.LOW, True)
    assert not resolves(look(tmp_path, declared=1, **silenced), Family.CONFIGURATION, "security.W018", place)
    # Who accepted one has not accepted two.
    silenced["SILENCED_SYSTEM_CHECKS"] = "['security.W018', 'security.W012']"
    more = look(tmp_path, **silenced)
    assert rules(more) == {"silenced-checks"}
    assert [found.severity for found in look(tmp_path, declared=1, **silenced).found] == [Severity.UNKNOWN]
    assert {fingerprint(found) for found in more.found}.isdisjoint(map(fingerprint, report.found))
    assert resolves(more, Family.CONFIGURATION, "silenced-checks", SystemPlace("1 silenced"))


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
        ("echo please run check --deploy later; manage.py check", False),
        ("set -x; echo 'please run manage.py check --deploy later'; manage.py check", False),
        ("echo manage.py check --deploy", False),
        (": manage.py check --deploy", False),
        ("manage.py check --deploy; manage.py check", False),
        ("sh -c 'X=1 manage.py check --deploy 2>&1' # it isn't all", True),
        ('out="$(manage.py check --deploy -v 2 > out.txt)"', True),
        ("if ! env A=1 manage.py check --settings shop --deploy; then echo 'it did not'; fi", True),
        ('shop() { manage.py "$@"; }\nX=1 shop check --deploy', True),
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


@pytest.mark.parametrize("narrowed", ["--tag models", "-t models", "-tmodels", "--tag=models", "--ta models", "auth"])
def test_a_check_of_a_part_is_no_pass(tmp_path: Path, narrowed: str) -> None:
    command = [sys.executable, "-m", "django", "check", "--deploy", "--settings", "site_settings", *narrowed.split()]
    report = look(tmp_path, command, DEBUG="True")
    assert (report.status, "for a part only" in report.why) == (ToolStatus.INCOMPLETE, True), report.why


def test_settings_that_cannot_be_read_are_no_pass(tmp_path: Path) -> None:
    assert look(tmp_path, ALLOWED_HOSTS="[").status is ToolStatus.INCOMPLETE
