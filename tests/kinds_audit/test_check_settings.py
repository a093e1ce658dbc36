"""Django's check --deploy, really run: what it prints is read, its exit status alone is never believed."""

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

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
    folder: Path,
    command: list[str] | None = None,
    timeout: str = "30s",
    named: dict[str, str] | None = None,
    **settings: str,
) -> ToolReport:
    lines = [f"{name} = {value}" for name, value in {**SOUND, **settings}.items()]
    (folder / "site_settings.py").write_text("\n".join(lines))
    argv = command or [sys.executable, "-m", "django", "check", "--deploy", "--settings", "site_settings"]
    variables = {"PYTHONPATH": str(folder)}
    section: dict[str, Any] = {"command": {"argv": argv, "timeout": timeout, "variables": variables}}
    section["silenced"] = named or {}
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


HSTS, DEBUG = "security.W004", "security.W018"
SILENCING = {"DEBUG": "True", "SECURE_HSTS_SECONDS": "0", "SESSION_COOKIE_SECURE": "False"}


def severities(report: ToolReport) -> dict[str, Severity]:
    return {found.rule: found.severity for found in report.found}


def test_what_the_settings_silence_is_told_as_if_they_did_not(tmp_path: Path) -> None:
    report = look(tmp_path, **SILENCING, SILENCED_SYSTEM_CHECKS=f"['{DEBUG}', '{HSTS}', 'security.W006']")
    assert severities(report) == {
        "security.W012": Severity.MEDIUM, DEBUG: Severity.HIGH, HSTS: Severity.MEDIUM,
    }  # fmt: skip
    assert {found.rule for found in report.found if "The settings silence this." in found.detail} == {DEBUG, HSTS}
    # Silenced or not, it is the same finding.
    plain = look(tmp_path, **SILENCING)
    assert set(map(fingerprint, plain.found)) == set(map(fingerprint, report.found))
    mended = look(tmp_path, SILENCED_SYSTEM_CHECKS=f"['{DEBUG}', '{HSTS}']")
    assert (mended.status, mended.notes) == (ToolStatus.OK, ())
    assert resolves(mended, Family.CONFIGURATION, DEBUG, SystemPlace(DEBUG))
    assert resolves(mended, Family.CONFIGURATION, "silenced-checks", SystemPlace("1 silenced"))


def test_a_plan_excuses_only_the_checks_that_it_names(tmp_path: Path) -> None:
    named = {HSTS: "The proxy sends it."}
    report = look(tmp_path, named=named, SECURE_HSTS_SECONDS="0", SILENCED_SYSTEM_CHECKS=f"['{HSTS}']")
    assert severities(report) == {HSTS: Severity.LOW}
    assert "The settings silence this; the plan says why: The proxy sends it." in report.found[0].detail
    # As many are silenced as before, but another one: it is told as what it is.
    swapped = look(tmp_path, named=named, DEBUG="True", SILENCED_SYSTEM_CHECKS=f"['{DEBUG}']")
    assert severities(swapped) == {DEBUG: Severity.HIGH}
    assert swapped.notes == (f"The plan says why {HSTS} may be silenced, and nothing of it was.",)
    # What the plan names excuses nothing that is not silenced.
    assert severities(look(tmp_path, named=named, SECURE_HSTS_SECONDS="0")) == {HSTS: Severity.MEDIUM}


def test_a_plan_that_only_counts_what_is_silenced_is_refused_with_the_way_to_write_it() -> None:
    counted = {"command": {"argv": ["true"]}, "silenced": {"messages": 3, "reason": "The settings say why."}}
    with pytest.raises(ValidationError, match="name each silenced check by its id with its reason"):
        DeployCheckSection.model_validate(counted)


#: Loads nothing of ours, as in a container: it clears PYTHONPATH.
DJANGO = f"env -u PYTHONPATH {sys.executable} -m django"
UNSEEN = f"{DJANGO} check --deploy --settings site_settings"
PRINTED = f"{UNSEEN}; {DJANGO} diffsettings --settings site_settings | grep ^SILENCED_SYSTEM_CHECKS"


def test_where_nobody_sees_what_is_silenced_it_counts_as_high_and_resolves_nothing(tmp_path: Path) -> None:
    one = ["sh", "-c", UNSEEN]
    silenced = SILENCING | {"SILENCED_SYSTEM_CHECKS": f"['{DEBUG}']"}
    report = look(tmp_path, one, named={DEBUG: "Left on for the demonstration."}, **silenced)
    assert severities(report)["silenced-checks"] is Severity.UNKNOWN
    assert not resolves(report, Family.CONFIGURATION, DEBUG, SystemPlace(DEBUG))
    # Who accepted one has not accepted two.
    more = look(tmp_path, one, **SILENCING, SILENCED_SYSTEM_CHECKS=f"['{DEBUG}', '{HSTS}']")
    assert {fingerprint(found) for found in more.found if found.rule == "silenced-checks"}.isdisjoint(
        map(fingerprint, report.found)
    )
    assert resolves(more, Family.CONFIGURATION, "silenced-checks", SystemPlace("1 silenced"))


def test_a_silenced_message_that_cannot_be_written_leaves_the_application_s_check_as_it_is(tmp_path: Path) -> None:
    rule = """
from django.core.checks import Warning, register
class Order:
    def __str__(self):
        raise RuntimeError("no table shop_order")
@register(deploy=True)
def own(app_configs, **_):
    return [Warning("An order without a buyer.", obj=Order(), id="shop.W001")]
"""
    (tmp_path / "shop_rules.py").write_text(rule)
    apps = SOUND["INSTALLED_APPS"].replace("[", "['shop_rules', ")
    ended = tmp_path / "ended"
    command = ["sh", "-c", f"{sys.executable} -m django check --deploy --settings site_settings && touch {ended}"]
    report = look(tmp_path, command, INSTALLED_APPS=apps, SILENCED_SYSTEM_CHECKS="['shop.W001']")
    assert ended.exists()
    assert (report.status, severities(report)) == (ToolStatus.FINDINGS, {"silenced-checks": Severity.UNKNOWN}), (
        report.why
    )
    assert report.found[0].place == SystemPlace("1 silenced")


def test_a_command_may_print_which_checks_are_silenced_itself(tmp_path: Path) -> None:
    both = ["sh", "-c", PRINTED]
    silenced = SILENCING | {"SILENCED_SYSTEM_CHECKS": f"['{DEBUG}', '{HSTS}']"}
    report = look(tmp_path, both, named={HSTS: "The proxy sends it."}, **silenced)
    held = {found.place: found.severity for found in report.found if found.rule == "silenced-checks"}
    assert held == {SystemPlace(HSTS): Severity.LOW, SystemPlace(DEBUG): Severity.UNKNOWN}
    assert not resolves(report, Family.CONFIGURATION, "security.W008", SystemPlace("security.W008"))


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
