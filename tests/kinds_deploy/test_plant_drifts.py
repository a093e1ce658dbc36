"""Drifts are planted, and the plan's own rules decide whether that is a no: nobody makes them stricter for the test."""

from typing import Any

import pytest

from checks.models import Run
from tests.engine.support import check, log_text
from tests.kinds_data.support import databases
from tests.kinds_deploy.gate_world import BREAKING, World, page

pytestmark = pytest.mark.django_db(transaction=True)
LEFT = dict.fromkeys(("runtime", "process", "variable", "package"), "Nobody asks.")


def drifted(world: World, *faults: str, **params: Any) -> tuple[Run, list[dict[str, Any]]]:
    more = {"same": check("parity", params={"leave_out": LEFT, **params})}
    run = world.run(more=more, faults=list(faults))
    return run, run.result["faults"]


def test_what_the_plan_only_warns_of_is_told_as_that_and_proves_nothing(world: World) -> None:
    before = databases()
    run, (setting, header) = drifted(world, "drifted-setting", "missing-header")
    assert run.state == "errored", log_text(run)
    assert {setting["verdict"], header["verdict"]} == {"warned"}, (setting, header)
    assert setting["why"] == "the plan's own rules only warn of it; it would block no release"
    assert (setting["without"]["said"], setting["with"]["said"]) == ("passed", "passed")
    assert run.error.startswith(
        "Nothing is proven: 0 of 0 planted faults were caught; the plan's rules would only warn"
    )
    assert run.result["figures"] == {"caught": 0, "missed": 0, "warned": 2, "untested": 0, "unclear": 0}
    (parity,) = (row for row in run.result["checks"] if row["kind"] == "parity")
    assert (parity["state"], parity["why"]) == ("warned", setting["why"])
    assert page(run).count("Would only warn") == 4
    assert databases() == before


def test_what_is_only_warned_of_stands_in_the_summary_beside_what_is_caught(world: World) -> None:
    run, (setting, column) = drifted(world, "drifted-setting", "missing-column")
    assert (run.state, setting["verdict"], column["verdict"]) == ("passed", "warned", "caught"), log_text(run)
    said = "1 of 1 planted faults were caught; the plan's rules would only warn of: a setting of the database drifted."
    assert run.summary.startswith(said.removesuffix("."))
    (parity,) = (row for row in run.result["checks"] if row["kind"] == "parity")
    assert parity["why"] == "said no to: a column is missing; would only warn of: a setting of the database drifted"


def test_a_drift_is_planted_that_the_plan_calls_breaking_where_there_is_one(world: World) -> None:
    run, (setting,) = drifted(world, "drifted-setting", breaking=["setting.work_mem"])
    assert (run.state, setting["verdict"]) == ("passed", "caught"), (setting, log_text(run))
    assert (setting["planted"], setting["named"]) == ("work_mem is 5MB", "setting.work_mem")


def test_a_strict_plan_says_no_to_any_drift(world: World) -> None:
    run, faults = drifted(world, "drifted-setting", "missing-header", strict=True)
    assert run.state == "passed", (faults, log_text(run))
    assert [row["verdict"] for row in faults] == ["caught", "caught"]


def test_a_drift_that_the_plan_expects_is_told_with_its_reason(world: World) -> None:
    expected = [{"fact": "setting.*", "reason": "Staging is smaller."}]
    run, (setting,) = drifted(world, "drifted-setting", breaking=BREAKING, expected=expected)
    assert (run.state, setting["verdict"]) == ("errored", "warned"), log_text(run)
    assert "the plan's own rules expect it: Staging is smaller." in setting["why"]


def test_where_the_plan_does_not_look_nothing_is_planted(world: World) -> None:
    aside = {**LEFT, "setting": "They are the same server.", "http.*": "Nobody asks.", "schema.column *": "Ours."}
    run, faults = drifted(world, "drifted-setting", "missing-header", "missing-column", leave_out=aside)
    assert run.state == "errored"
    why = [row["why"] for row in faults]
    assert why[0] == "not tested, because the plan's parity leaves out setting: They are the same server."
    assert all("differs already, or the plan leaves it out" in each for each in why[1:]), why


def test_a_fact_that_differs_already_is_not_taken_for_the_fault(world: World) -> None:
    world.pair.sql("source", "ALTER TABLE person DROP COLUMN note")
    world.pair.sql("target", "ALTER TABLE aside ADD COLUMN more text")
    run, (column,) = drifted(world, "missing-column")
    assert (run.state, column["verdict"]) == ("passed", "caught"), (column, log_text(run))
    assert column["without"]["said"] == "failed"
