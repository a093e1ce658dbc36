"""An archive of WAL without a backup is planted in what its tool says: the check says no, and the real one passes."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from checks.models import Run
from config.services.postgres import Postgres
from tests.engine.support import check, log_text
from tests.engine.workers import until
from tests.kinds_data.test_wal_archive import archiving, stanza
from tests.kinds_deploy.gate_world import World

__all__ = ["archiving"]
pytestmark = pytest.mark.django_db(transaction=True)
WAL_G = [{"backup_name": "base_1", "finish_time": "2099-10-05T02:01:00Z", "time": "2099-10-05T02:01:09Z"}]
EMPTY = "There is no backup to replay WAL from."


def shown(world: World, url: str, tool: str, printed: Any, **command: Any) -> tuple[Run, dict[str, Any]]:
    """The test of the gate where production's server is this one, and its tool prints this."""
    answer = world.folder / "printed.json"
    answer.write_text(printed if isinstance(printed, str) else json.dumps(printed))
    section = check("wal_archive", "production", params={
        "tool": tool, "command": command or {"argv": ["cat", str(answer)]},
    })  # fmt: skip
    places = {
        name: {"tier": name, "url": server.url, "variables": {"DATABASE_URL": address}}
        for name, server, address in (
            ("staging", world.server, world.pair.source.url()), ("production", world.production, url),
        )
    }  # fmt: skip
    run = world.run(more={"archive": section}, plan={"environments": places}, faults=["empty-archive"])
    (row,) = run.result["faults"]
    return run, row


@pytest.mark.campaign
def test_an_archive_without_backups_is_caught_where_a_real_one_passes(
    world: World, archiving: tuple[Postgres, Path]
) -> None:
    server, _ = archiving
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE moved AS SELECT 1; SELECT pg_switch_wal()")
        until(lambda: connection.execute("SELECT archived_count > 0 FROM pg_stat_archiver").fetchone() == (True,), 20)
    run, row = shown(world, server.url(), "pgbackrest", [stanza()])
    assert (run.state, row["verdict"]) == ("passed", "caught"), (row, log_text(run))
    assert (row["without"]["said"], row["with"]["said"]) == ("passed", "failed")
    assert row["with"]["summary"] == EMPTY


@pytest.mark.parametrize(("tool", "printed"), [("pgbackrest", [stanza()]), ("wal-g", WAL_G)])
def test_it_is_caught_also_where_the_check_says_no_to_something_else(world: World, tool: str, printed: Any) -> None:
    run, row = shown(world, world.pair.target.url(), tool, printed)
    assert (run.state, row["verdict"]) == ("passed", "caught"), (row, log_text(run))
    assert (row["without"]["said"], row["with"]["said"]) == ("failed", "failed")
    assert "archive_mode is off" in row["without"]["summary"]


def test_an_archive_that_is_empty_anyway_proves_nothing(world: World) -> None:
    run, row = shown(world, world.pair.target.url(), "wal-g", "null")
    assert (run.state, row["verdict"]) == ("errored", "unclear"), (row, log_text(run))
    assert "without the fault as well" in row["why"]


@pytest.mark.parametrize("command", [{"argv": ["false"]}, {"script": "echo no JSON"}])
def test_a_tool_that_says_nothing_proves_nothing(world: World, command: dict[str, Any]) -> None:
    run, row = shown(world, world.pair.target.url(), "wal-g", "null", **command)
    assert (run.state, row["verdict"]) == ("errored", "unclear"), (row, log_text(run))
