"""Faults that an audit has to find are planted, one for each of its looks, and the look that is asked names them."""

import sys
from pathlib import Path
from typing import Any

import pytest

from checks.kinds.audit import LOOKS
from checks.models import Finding, Run
from checks.tools.planting.faults import FAULTS
from tests.engine.support import check, log_text
from tests.kinds_audit.test_check_settings import SOUND
from tests.kinds_audit.test_look_at_source import build_of
from tests.kinds_audit.tls_site import serving_tls
from tests.kinds_deploy.gate_world import World, page
from tests.kinds_deploy.local_server import Reply

pytestmark = pytest.mark.django_db(transaction=True)
POLICY = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


def audited(world: World, fault: str, build: dict[str, Any] | None = None, **looks: Any) -> tuple[Run, dict[str, Any]]:
    run = world.run(more={"audit": check("audit", params=looks)}, faults=[fault], **(build or {}))
    (row,) = run.result["faults"]
    return run, row


def caught(run: Run, row: dict[str, Any], named: str) -> None:
    assert (run.state, row["verdict"], row["named"]) == ("passed", "caught", named), (row, log_text(run))
    assert (row["without"]["said"], row["with"]["said"]) == ("passed", "failed")
    assert not Finding.objects.exists()


def archive(folder: Path, name: str = "app-1.0.tar") -> dict[str, Any]:
    path = build_of({"app/main.py": "x = 1\n", "app/tests/t.py": "y = 2\n"}, folder, name)
    return {"build": path.read_bytes(), "build_name": name}


@pytest.mark.campaign
@pytest.mark.parametrize("name", ["app-1.0.tar", "app-1.0.zip"])
def test_insecure_code_in_a_copy_of_the_build_is_caught(world: World, tmp_path: Path, name: str) -> None:
    run, row = audited(world, "insecure-code", archive(tmp_path, name), code={}, source={"exclude": ["app/tests/*"]})
    caught(run, row, "gonogo_planted.py")
    (proven,) = (each for each in run.result["checks"] if each["kind"] == "audit")
    assert (proven["look"], proven["state"]) == (LOOKS["code"], "proven")


@pytest.mark.campaign
def test_insecure_code_is_caught_where_the_plan_unpacks_the_source_itself(world: World) -> None:
    unpack = {"argv": ["sh", "-c", 'echo "x = 1" > "$GONOGO_SOURCE/a.py"'], "timeout": "9s"}
    caught(*audited(world, "insecure-code", code={}, source={"unpack": unpack}), "gonogo_planted.py")


@pytest.mark.campaign
def test_insecure_code_that_the_plan_leaves_out_is_missed(world: World, tmp_path: Path) -> None:
    run, row = audited(world, "insecure-code", archive(tmp_path), code={}, source={"exclude": ["gonogo_*"]})
    assert (run.state, row["verdict"]) == ("failed", "missed"), (row, log_text(run))


@pytest.mark.campaign
def test_a_secret_in_a_copy_of_the_build_is_caught(world: World, tmp_path: Path) -> None:
    run, row = audited(world, "leaked-secret", archive(tmp_path), secrets={})
    caught(run, row, "gonogo_planted.txt")
    assert "AKIA" not in log_text(run)


def settings_in(folder: Path) -> dict[str, Any]:
    (folder / "site_settings.py").write_text("\n".join(f"{name} = {value}" for name, value in SOUND.items()))
    return {"PYTHONPATH": str(folder)}


def test_debug_that_was_left_on_is_caught(world: World, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "django", "check", "--deploy", "--settings", "site_settings"]
    command = {"argv": argv, "variables": settings_in(tmp_path)}
    caught(*audited(world, "debug-left-on", deploy_check={"command": command}), "security.W018")


@pytest.mark.campaign
def test_debug_is_caught_where_the_application_has_a_rule_of_its_own_for_it(world: World, tmp_path: Path) -> None:
    rule = """
from django.core.checks import Error, register
@register(deploy=True)
def own(app_configs, **_):
    from django.conf import settings
    return [Error("This runs in debug mode.", id="shop.E001")] if settings.DEBUG else []
"""
    variables = settings_in(tmp_path)
    with (tmp_path / "site_settings.py").open("a") as file:
        file.write("\nSILENCED_SYSTEM_CHECKS = ['security.W018']\nINSTALLED_APPS += ['shop_rules']\n")
    (tmp_path / "shop_rules.py").write_text(rule)
    argv = [sys.executable, "-m", "django", "check", "--deploy", "--settings", "site_settings"]
    # The plan excuses Django's own, so that the application's rule is all that is left to say no.
    section = {
        "command": {"argv": argv, "variables": variables},
        "silenced": {"security.W018": "The shop has its own."},
    }
    run, row = audited(world, "debug-left-on", deploy_check=section)
    caught(run, row, "security.W018")
    assert "debug mode" in row["with"]["summary"]


@pytest.mark.campaign
def test_debug_cannot_be_left_on_where_python_is_told_to_look_at_nothing(world: World, tmp_path: Path) -> None:
    settings_in(tmp_path)
    script = f"cd {tmp_path} && {sys.executable} -E -m django check --deploy --settings site_settings"
    run, row = audited(world, "debug-left-on", deploy_check={"command": {"script": script}})
    assert (run.state, row["verdict"]) == ("errored", "untested"), log_text(run)
    assert "no Django that the plan's command started" in row["why"]


@pytest.mark.campaign
def test_a_certificate_that_has_expired_is_caught(world: World, tmp_path: Path) -> None:
    with serving_tls(tmp_path) as site:
        port = int(site.url.rpartition(":")[2])
        run, row = audited(world, "expired-certificate", tls={"port": port}, authority=str(site.authority))
    assert (run.state, row["verdict"], row["named"]) == ("passed", "caught", "certificate-expired"), log_text(run)


def test_a_missing_policy_is_caught(world: World) -> None:
    world.server.replies["/"] = Reply(headers={
        "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
    })  # fmt: skip
    caught(*audited(world, "missing-policy", headers={}, fail_at="medium"), "content-security-policy")


def test_what_the_plan_lets_pass_is_told_as_what_it_only_warns_of(world: World) -> None:
    world.server.replies["/"] = Reply(headers={"Content-Security-Policy": POLICY})
    run, row = audited(world, "missing-policy", headers={}, fail_at="high")
    assert (run.state, row["verdict"]) == ("errored", "warned"), (row, log_text(run))
    assert row["why"] == "the plan's own rules only warn of it, which is medium; it would block no release"
    (headers,) = (each for each in run.result["checks"] if each["kind"] == "audit")
    assert (headers["state"], headers["why"]) == ("warned", row["why"])
    assert "Would only warn" in page(run)


def test_a_policy_that_costs_too_many_points_is_caught_whatever_its_severity(world: World) -> None:
    world.server.replies["/"] = Reply(headers={
        "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
    })  # fmt: skip
    run, row = audited(world, "missing-policy", headers={"least_score": 100}, fail_at="critical")
    caught(run, row, "content-security-policy")


@pytest.mark.campaign
def test_what_the_plan_does_not_look_at_is_not_planted(world: World) -> None:
    _, row = audited(world, "expired-certificate", tls={"not_applicable": "Reached in a tunnel."}, headers={})
    assert row["why"] == "not tested, because the plan says that TLS is not applicable"
    _, row = audited(world, "insecure-code", code={})
    said = "not tested, because the build is no archive, so it holds no source beside which a file could lie"
    assert row["why"] == said
    run, row = audited(world, "insecure-code", headers={})
    assert row["why"] == "not tested, because the plan has no check of kind audit with the look code"
    (headers,) = (each for each in run.result["checks"] if each["kind"] == "audit")
    left_out = "not tested, because this run's parameters leave its faults out"
    assert (headers["state"], headers["why"]) == ("untried", left_out)


@pytest.mark.parametrize("sarif", [{}, {"tools": ["semgrep", "gosec"], "family": "secrets"}])
def test_a_weakness_that_another_scanner_reports_is_caught(
    world: World, storage_folder: Path, sarif: dict[str, Any]
) -> None:
    caught(*audited(world, "reported-weakness", sarif=sarif), "gonogo-planted-weakness")
    assert not list(storage_folder.rglob("*.sarif"))


def test_each_fault_is_looked_for_by_one_look_of_the_audit_only() -> None:
    faults = [fault for fault in FAULTS if fault.kind == "audit"]
    assert sorted(fault.look for fault in faults) == sorted(LOOKS)
    for fault in faults:
        assert {key for key in LOOKS if key in fault.clean and fault.clean[key] is None} == set(LOOKS) - {fault.look}
        assert fault.clean["uploaded"] == ""
