"""Whoever says yes to everything is found out by each fault that there is, also a look that sees nothing at all."""

import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from checks.kinds.base import Outcome, get_kind
from checks.tools.planting.faults import FAULTS
from tests.advisories.support import entry, imported
from tests.engine.support import check, log_text
from tests.kinds_audit.test_look_at_log_in import LOGIN
from tests.kinds_audit.test_look_at_source import build_of
from tests.kinds_deploy.gate_world import World, page, verdicts
from tests.kinds_deploy.local_server import Reply
from tests.kinds_deploy.test_gate_test import CONSENT, LOAD, UNIT
from tests.kinds_deploy.test_plant_in_data import PEOPLE

pytestmark = pytest.mark.django_db(transaction=True)

#: What each kind returns where it found nothing wrong.
NOTHING: dict[str, dict[str, Any]] = {
    "parity": {"areas": []},
    "smoke": {"answers": []},
    "audit": {"findings": []},
    "drill": {"differences": []},
    "suite": {"failures": []},
    "load": {"steps": []},
    "reconcile": {"tables": []},
    "migration": {"problems": []},
    "privacy": {"problems": []},
    "backup": {},
    "disaster": {"differences": []},
    "retention": {"wrong": []},
    "wal_archive": {"wrong": []},
    "transition": {
        "tables": [{"table": "public.visit", "inserted": 3}, {"table": "public.person", "inserted": 2}],
        "conflicts": [], "differences": [], "undo": {"differences": []},
    },
}  # fmt: skip
AUDIT = check("audit", params={
    "packages": {}, "code": {}, "secrets": {}, "headers": {}, "tls": {"port": 1}, "fail_at": "medium",
    "deploy_check": {"command": {"argv": [sys.executable, "--version"]}},
    "sarif": {}, "web": {}, "authentication": {"login": LOGIN},
})  # fmt: skip
NEVER_RUN = {"argv": ["false"]}


@pytest.mark.campaign
def test_each_fault_finds_out_a_check_that_says_yes_to_everything(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(entry("PYSEC-2021-9", "Django", events=[{"introduced": "0"}, {"fixed": "3.2.1"}]))
    world.server.replies["/"] = Reply(headers={"X-Frame-Options": "DENY"})
    world.pair.sql("source", "ANALYZE")
    build = build_of({"requirements.txt": "six==1.16.0\n", "a.py": "x = 1\n"}, tmp_path, "app-1.0.tar")
    run = world.queued(
        first="checks.backup", build=build.read_bytes(), build_name=build.name, plan=CONSENT,
        more={
            "unit": check("suite", params={"command": UNIT}), "load": LOAD, "audit": AUDIT,
            "people": check("transition", "production", params=PEOPLE), "kept": check("privacy", "production"),
            "disaster": check("disaster", params={"start": NEVER_RUN}),
            "retention": check("retention"),
            "archive": check("wal_archive", params={"tool": "wal-g", "command": NEVER_RUN}),
        },
    )  # fmt: skip
    for kind, result in NOTHING.items():
        outcome = Outcome(True, "All is well.", result=result)
        monkeypatch.setattr(get_kind(kind), "rehearse", lambda context, outcome=outcome: outcome)
    with override_settings(OSV_URL=""):
        run = world.executed(run)
    assert {fault.kind for fault in FAULTS} == set(NOTHING)
    assert verdicts(run) == {fault.key: "missed" for fault in FAULTS}, (run.result["faults"], log_text(run))
    assert (run.state, run.result["figures"]["caught"]) == ("failed", 0)
    states = {(row["kind"], row["state"]) for row in run.result["checks"]}
    assert states == {(kind, "missed") for kind in NOTHING} | {("deploy", "untried"), ("rollback", "untried")}
    assert "Proves nothing" in page(run)
    assert "a page is broken" in run.summary
