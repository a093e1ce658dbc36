"""A rollback, run for real by the engine."""

from dataclasses import replace
from pathlib import Path

import pytest

from checks import services
from checks.models import RunStep
from releases.domain import deploy as deploys
from releases.domain import environment as environments
from releases.errors import StateChanged
from releases.models import Environment
from tests.factories import make_release
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.kinds_deploy.support import OLD, STEPS, Shop, executed, make_shop, step

pytestmark = pytest.mark.django_db(transaction=True)


def runs_there(place: Environment) -> tuple[str, str]:
    return place.current_version, place.current_build_digest


def test_it_brings_the_build_of_before_back(shop: Shop) -> None:
    deployed = shop.deploy()
    run = shop.roll_back()
    assert run.state == "passed", run.error
    assert shop.written()[-1] == "back 1.0"
    assert runs_there(shop.production) == ("1.0", OLD)
    assert shop.fresh().state == "rolled_back"
    assert run.result["continues"] == deployed.number
    assert run.result["figures"]["seconds"] > 0
    assert "1.0 runs in production again" in run.summary


@pytest.mark.campaign
def test_a_release_that_is_live_can_be_taken_back(shop: Shop) -> None:
    shop.deploy()
    deploys.went_live(release=shop.fresh())
    assert shop.roll_back().state == "passed"
    assert shop.fresh().state == "rolled_back"


def test_it_takes_a_half_way_deploy_back(tmp_path: Path, server: LocalServer) -> None:
    shop = make_shop(tmp_path, server, deploy={"steps": [STEPS[0], step("migrate", "exit 9"), STEPS[2]]})
    shop.deploy()
    assert shop.roll_back().state == "passed"
    assert runs_there(shop.production) == ("1.0", OLD)
    assert shop.fresh().state == "rolled_back"


def test_a_rehearsed_rollback_is_evidence_and_moves_no_release(tmp_path: Path, server: LocalServer) -> None:
    shop = make_shop(tmp_path, server, approved=False)
    before = shop.fresh().state
    shop.deploy(shop.staging)
    run = shop.roll_back(shop.staging)
    assert run.state == "passed", run.error
    assert runs_there(shop.staging) == ("1.0", OLD)
    assert shop.fresh().state == before
    evidence = shop.release.evidence.filter(section="rollback").latest("recorded_at")
    assert evidence.verdict == "passed"
    assert evidence.figures["seconds"] > 0


def test_there_must_be_a_deploy_to_take_back(shop: Shop) -> None:
    run = shop.roll_back(shop.staging)
    assert run.state == "errored"
    assert "There is no deploy of this release in staging to take back." in run.error
    assert runs_there(shop.staging) == ("1.0", OLD)
    assert not shop.written("staging")


@pytest.mark.campaign
def test_it_is_done_once(shop: Shop) -> None:
    shop.deploy(shop.staging)
    shop.roll_back(shop.staging)
    again = shop.roll_back(shop.staging)
    assert again.state == "errored"
    assert shop.written("staging")[-1] == "back 1.0"
    assert shop.written("staging").count("back 1.0") == 1


def test_a_refused_rollback_leaves_a_watched_release_watched_and_can_be_tried_again(
    tmp_path: Path, server: LocalServer
) -> None:
    steps = [step("switch", "true", point_of_no_return=True)]
    shop = make_shop(tmp_path, server, deploy={"steps": steps})
    shop.deploy()
    assert shop.roll_back().state == "errored"
    assert shop.fresh().state == "watching"
    assert runs_there(shop.production) == ("2.0", shop.release.build_digest)
    assert shop.roll_back().state == "errored", "still without a reason"
    back = shop.roll_back(reason="Orders are lost.")
    assert back.state == "passed", back.error
    assert runs_there(shop.production) == ("1.0", OLD)


@pytest.mark.campaign
def test_a_failed_rollback_is_a_failed_release_and_can_be_tried_again(tmp_path: Path, server: LocalServer) -> None:
    back = step(
        "back", 'test -e "$GONOGO_PLAN_DIR/mended" && echo "back $GONOGO_PREVIOUS_VERSION" > "$GONOGO_PLAN_DIR/x"'
    )
    shop = make_shop(tmp_path, server, rollback={"steps": [back]})
    shop.deploy()
    first = shop.roll_back()
    assert first.state == "failed"
    assert runs_there(shop.production) == ("", "")
    assert shop.fresh().state == "failed"
    (tmp_path / "mended").touch()
    second = shop.roll_back()
    assert second.state == "passed", second.error
    assert (tmp_path / "x").read_text() == "back 1.0\n"
    assert runs_there(shop.production) == ("1.0", OLD)


def test_one_that_stopped_half_way_is_over_when_somebody_says_what_runs(tmp_path: Path, server: LocalServer) -> None:
    shop = make_shop(tmp_path, server, rollback={"steps": [step("back", "false")]})
    shop.deploy()
    assert shop.roll_back().state == "failed"
    environments.adopt_build(
        environment=shop.production, version="1.0", build_digest=OLD, actor=shop.team.manager, reason="By hand."
    )
    again = shop.roll_back()
    assert again.state == "errored"
    assert "There is no deploy of this release in production to take back." in again.error


def another(shop: Shop) -> Shop:
    """The same application with its next release."""
    newer = make_release(application=shop.application, version="2.1", requester=shop.team.engineer)
    return replace(shop, release=newer)


def test_what_another_release_left_half_way_goes_back_first(tmp_path: Path, server: LocalServer) -> None:
    breaks = step("migrate", 'test ! -e "$GONOGO_PLAN_DIR/broken"')
    shop = make_shop(tmp_path, server, approved=False, deploy={"steps": [STEPS[0], breaks, STEPS[2]]})
    newer = another(shop)
    shop.deploy(shop.staging)
    (tmp_path / "broken").touch()
    assert newer.deploy(shop.staging).state == "failed"
    refused = shop.roll_back(shop.staging)
    assert refused.state == "errored"
    assert "There is no deploy of this release in staging to take back." in refused.error
    assert "back" not in shop.written("staging")[-1]
    back = newer.roll_back(shop.staging)
    assert back.state == "passed", back.error
    assert runs_there(shop.staging) == ("2.0", shop.release.build_digest)


def test_a_rollback_that_had_nothing_to_take_back_bars_no_other(tmp_path: Path, server: LocalServer) -> None:
    shop = make_shop(tmp_path, server, approved=False)
    newer = another(shop)
    shop.deploy(shop.staging)
    newer.deploy(shop.staging)
    assert shop.roll_back(shop.staging).state == "errored"
    back = newer.roll_back(shop.staging)
    assert back.state == "passed", back.error
    assert runs_there(shop.staging) == ("2.0", shop.release.build_digest)


@pytest.mark.campaign
def test_smoke_after_it_decides(shop: Shop) -> None:
    shop.deploy()
    shop.server.replies["/"] = Reply(503)
    run = shop.roll_back()
    assert run.state == "failed"
    assert run.result["failed_step"] == "smoke"
    assert shop.fresh().state == "failed"


@pytest.mark.campaign
def test_steps_before_it_come_first(tmp_path: Path, server: LocalServer) -> None:
    hold = step("hold", 'echo hold >> "$GONOGO_PLAN_DIR/$GONOGO_ENVIRONMENT"')
    shop = make_shop(tmp_path, server, rollback={"before": [hold]})
    shop.deploy()
    run = shop.roll_back()
    assert shop.written()[-2:] == ["hold", "back 1.0"]
    assert list(RunStep.objects.filter(run=run).values_list("key", flat=True)) == ["hold", "back", "smoke"]


@pytest.mark.campaign
def test_it_can_be_deployed_again_after_it(shop: Shop) -> None:
    shop.deploy(shop.staging)
    shop.roll_back(shop.staging)
    run = shop.deploy(shop.staging)
    assert run.state == "passed"
    assert run.result["continues"] is None
    assert run.result["previous"]["version"] == "1.0"
    assert shop.roll_back(shop.staging).state == "passed"


@pytest.mark.campaign
def test_while_it_is_under_way_no_person_says_what_runs_there(shop: Shop) -> None:
    shop.deploy()
    run = services.start_rollback(release=shop.fresh(), actor=shop.team.manager)
    facts = {"version": "1.0", "build_digest": OLD, "actor": shop.team.manager, "reason": "Saw it."}
    with pytest.raises(StateChanged, match=rf"Run #{run.number} \(rollback\) is under way in production"):
        environments.adopt_build(environment=shop.production, **facts)
    assert executed(run).state == "passed"
    environments.adopt_build(environment=shop.production, **facts)
