"""Production's backup is unmasked: where a drill may restore it, and who may look at it there."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from checks.enums import RunState
from checks.errors import PlanError
from checks.plan import parse
from checks.tools import restoring
from checks.tools.postgres import Address
from tests.factories import MINIMAL_PLAN
from tests.kinds_data.support import databases, log_of, shop

WHY = "Staging's server is closed to everybody but the operators, by contract of 3 May."


def seen_while_restoring(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What others may do with the scratch database while it holds the backup."""
    seen: dict[str, Any] = {}
    load = restoring.load_database

    def watched(context: Any, document: Any, address: Address, **named: Any) -> None:
        load(context, document, address, **named)
        with psycopg.connect(address.conninfo()) as database:
            seen["public"] = database.execute(
                "SELECT count(*) FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a"
                " WHERE d.datname = current_database() AND a.grantee = 0"
            ).fetchone()

    monkeypatch.setattr(restoring, "load_database", watched)
    return seen


@pytest.mark.campaign
@pytest.mark.usefixtures("transactional_db", "storage_folder")
def test_production_s_backup_does_not_go_to_staging_s_server_without_a_reason_in_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop(tmp_path) as made:
        assert made.run("backup").state == RunState.PASSED
        there = databases()
        seen = seen_while_restoring(monkeypatch)
        refused = made.run("drill", restore_on="staging")
        assert refused.state == RunState.ERRORED, refused.summary
        assert "may not be restored on the server of staging, whose tier is staging" in refused.error
        assert "unmasked_because" in refused.remedy
        assert (seen, databases()) == ({}, there)
        run = made.run("drill", restore_on="staging", unmasked_because=WHY)
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
        assert (run.result["unmasked_because"], seen["public"]) == (WHY, (0,))
        # On production's own server, and on that of another of production's, it is nobody else's.
        assert made.run("drill", restore_on="production").state == RunState.PASSED


def test_a_plan_that_would_restore_production_in_staging_says_why() -> None:
    def plan(**params: Any) -> str:
        check = {"kind": "drill", "title": "D", "environment": "production", "params": params}
        return json.dumps({**MINIMAL_PLAN, "checks": {"drill": check}})

    def problems(**params: Any) -> list[tuple[str, str]]:
        with pytest.raises(PlanError) as refused:
            parse(plan(**params))
        return [(path, message) for _, _, path, message in refused.value.problems]

    ((path, message),) = problems(restore_on="staging")
    assert path == "checks.drill.params.restore_on"
    assert message.startswith("production's backup is not masked, and staging is of the tier staging")
    ((path, message),) = problems(restore_on="nowhere")
    assert (path, message[:32]) == ("checks.drill.params.restore_on", "there is no environment 'nowhere")
    parse(plan(restore_on="staging", unmasked_because=WHY))
    parse(plan(restore_on="production"))
    parse(plan())
