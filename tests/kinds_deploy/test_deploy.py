"""A deploy, run for real by the engine."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from checks import services
from checks.models import Run, RunStep
from releases.domain.calendar import create_freeze
from releases.errors import GateClosed
from releases.models import BreakGlass, Environment, Release
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.kinds_deploy.support import OLD, STEPS, Shop, cancelling, executed, kill_after, make_shop, step

pytestmark = pytest.mark.django_db(transaction=True)

FAILS_ONCE = step(
    "migrate", 'test -e "$GONOGO_PLAN_DIR/mended" || exit 9; echo migrated >> "$GONOGO_PLAN_DIR/production"'
)


def runs_there(place: Environment) -> tuple[str, str]:
    return place.current_version, place.current_build_digest


def states(run: Run) -> dict[str, str]:
    return dict(RunStep.objects.filter(run=run).values_list("key", "state"))


def test_it_does_the_steps_in_order_and_the_release_is_watched(shop: Shop) -> None:
    run = shop.deploy()
    assert (run.state, run.summary) == ("passed", "2.0 runs in production.")
    assert shop.written() == ["static 2.0", "migrate 2.0", "switch 2.0"]
    assert runs_there(shop.production) == ("2.0", shop.release.build_digest)
    assert shop.production.current_release_id == shop.release.pk
    assert shop.fresh().state == "watching"
    assert run.result["previous"] == {"version": "1.0", "build_digest": OLD, "release": None}
    assert [entry["state"] for entry in run.result["steps"]] == ["passed"] * 4
    assert run.result["figures"]["seconds"] > 0
    assert run.result["answers"][0]["passed"]


def test_a_rehearsal_changes_the_source_only_and_no_state_of_the_release(shop: Shop) -> None:
    before = shop.fresh().state
    run = shop.deploy(shop.staging)
    assert run.state == "passed"
    assert runs_there(shop.staging) == ("2.0", shop.release.build_digest)
    assert runs_there(shop.production) == ("1.0", OLD)
    assert shop.written("staging")
    assert not shop.written("production")
    assert shop.fresh().state == before
    assert shop.release.evidence.filter(section="deploy", verdict="passed").exists()


def test_a_failed_step_stops_it_and_nobody_knows_what_runs_there(tmp_path: Path, server: LocalServer) -> None:
    shop = make_shop(tmp_path, server, deploy={"steps": [STEPS[0], step("migrate", "exit 9"), STEPS[2]]})
    run = shop.deploy()
    assert run.state == "failed"
    assert "Migrate: its command ended with 9. The environment stands half-way." in run.summary
    assert shop.written() == ["static 2.0"]
    assert states(run) == {"static": "passed", "migrate": "failed", "switch": "skipped", "smoke": "skipped"}
    assert (run.result["failed_step"], run.result["remaining"]) == ("migrate", ["switch", "smoke"])
    assert runs_there(shop.production) == ("", "")
    assert shop.fresh().state == "failed"


def test_a_failed_smoke_test_fails_it(shop: Shop) -> None:
    shop.server.replies["/"] = Reply(500)
    run = shop.deploy()
    assert run.state == "failed"
    assert run.result["failed_step"] == "smoke"
    assert "answered 500, expected 200" in run.summary
    assert shop.fresh().state == "failed"
    assert runs_there(shop.production) == ("", "")


def test_it_goes_on_at_the_failed_step_and_repeats_nothing(tmp_path: Path, server: LocalServer) -> None:
    shop = make_shop(tmp_path, server, deploy={"steps": [STEPS[0], FAILS_ONCE, STEPS[2]]})
    first = shop.deploy()
    (tmp_path / "mended").touch()
    second = shop.deploy(resume="migrate")
    assert second.state == "passed", second.summary
    assert shop.written() == ["static 2.0", "migrated", "switch 2.0"]
    assert states(second)["static"] == "skipped"
    assert second.result["steps"][0]["reason"] == f"Done in run #{first.number}."
    assert second.result["previous"]["version"] == "1.0"
    assert second.result["continues"] == first.number
    assert runs_there(shop.production) == ("2.0", shop.release.build_digest)


@pytest.mark.campaign
def test_it_goes_on_over_three_attempts(tmp_path: Path, server: LocalServer) -> None:
    last = step(
        "switch", 'test -e "$GONOGO_PLAN_DIR/mended2" || exit 3; echo switched >> "$GONOGO_PLAN_DIR/production"'
    )
    shop = make_shop(tmp_path, server, deploy={"steps": [STEPS[0], FAILS_ONCE, last]})
    first = shop.deploy()
    (tmp_path / "mended").touch()
    second = shop.deploy(resume="migrate")
    (tmp_path / "mended2").touch()
    third = shop.deploy(resume="switch")
    assert [run.state for run in (first, second, third)] == ["failed", "failed", "passed"]
    assert shop.written() == ["static 2.0", "migrated", "switched"]
    assert third.result["done"] == {"static": first.number, "migrate": second.number}
    assert third.result["previous"]["version"] == "1.0"


def test_a_step_may_be_skipped_with_a_reason(tmp_path: Path, server: LocalServer) -> None:
    shop = make_shop(tmp_path, server, deploy={"steps": [STEPS[0], step("migrate", "exit 9"), STEPS[2]]})
    shop.deploy()
    run = shop.deploy(resume="migrate", skip="migrate", reason="Done by hand, ticket 12.")
    assert run.state == "passed"
    assert shop.written() == ["static 2.0", "switch 2.0"]
    assert run.result["steps"][1]["reason"] == "Done by hand, ticket 12."


@pytest.mark.parametrize("resume", [None, "static"])
def test_a_step_that_never_stopped_a_deploy_cannot_be_skipped(shop: Shop, resume: str | None) -> None:
    run = shop.deploy(resume=resume, skip=["static", "migrate", "switch"], reason="In a hurry.")
    assert run.state == "errored"
    assert "has not stopped a deploy of this build" in run.error
    assert shop.written() == []
    assert shop.fresh().state == "failed"
    assert shop.production.current_version == "1.0"


def test_it_refuses_to_go_on_past_a_step_that_never_passed(tmp_path: Path, server: LocalServer) -> None:
    shop = make_shop(tmp_path, server, deploy={"steps": [STEPS[0], step("migrate", "exit 9"), STEPS[2]]})
    shop.deploy()
    run = shop.deploy(resume="switch")
    assert run.state == "errored"
    assert "the step 'migrate' has not passed before it" in run.error
    assert shop.written() == ["static 2.0"]
    assert shop.fresh().state == "failed"


@pytest.mark.campaign
def test_it_refuses_to_go_on_where_nothing_was_begun(shop: Shop) -> None:
    run = shop.deploy(resume="switch")
    assert run.state == "errored"
    assert shop.written() == []
    assert runs_there(shop.production) == ("1.0", OLD), "nothing was touched, so it still runs what it ran"
    assert shop.fresh().state == "failed"


@pytest.mark.campaign
def test_a_step_that_takes_too_long_is_a_failure(tmp_path: Path, server: LocalServer) -> None:
    shop = make_shop(tmp_path, server, deploy={"steps": [step("slow", "sleep 30", timeout="500ms")]})
    run = shop.deploy()
    assert run.state == "failed"
    assert "not done after" in run.summary


def test_a_cancel_before_it_began_leaves_everything_as_it_was(shop: Shop) -> None:
    run = services.start_deploy(release=shop.fresh(), actor=shop.team.manager)
    services.cancel_run(run=run, actor=shop.team.manager)
    assert Run.objects.get(pk=run.pk).state == "cancelled"
    assert runs_there(shop.production) == ("1.0", OLD)
    assert shop.fresh().state == "failed"
    assert shop.deploy().state == "passed"


@pytest.mark.campaign
def test_a_cancel_in_the_middle_is_a_failure_and_never_a_harmless_end(tmp_path: Path, server: LocalServer) -> None:
    waiting = step("migrate", 'touch "$GONOGO_PLAN_DIR/there"; sleep 60')
    shop = make_shop(tmp_path, server, deploy={"steps": [STEPS[0], waiting, STEPS[2]]})
    run = services.start_deploy(release=shop.fresh(), actor=shop.team.manager)
    with cancelling(run, shop, tmp_path / "there"):
        run = executed(run)
    assert run.state == "failed"
    assert run.result["failed_step"] == "migrate"
    assert run.result["changed"]
    assert runs_there(shop.production) == ("", "")
    assert shop.fresh().state == "failed"
    assert states(run) == {"static": "passed", "migrate": "cancelled", "switch": "skipped", "smoke": "skipped"}


def test_a_dead_worker_leaves_it_unknown_and_a_person_decides(shop: Shop) -> None:
    run = kill_after(shop, "static")
    assert run.state == "unknown"
    assert run.result["changed"]
    assert run.result["previous"]["version"] == "1.0"
    assert shop.fresh().state == "unknown"
    assert runs_there(shop.production) == ("", "")
    services.decide_unknown(run=run, actor=shop.team.manager, outcome="failed", reason="Only static is there.")
    assert shop.fresh().state == "failed"
    again = shop.deploy(resume="migrate")
    assert again.state == "passed", again.error
    assert again.result["previous"]["version"] == "1.0"


@pytest.mark.campaign
def test_a_person_may_decide_that_it_was_completed(shop: Shop) -> None:
    run = kill_after(shop, "switch")
    services.decide_unknown(run=run, actor=shop.team.manager, outcome="passed", reason="It answers as 2.0.")
    assert shop.fresh().state == "watching"
    assert runs_there(shop.production) == ("2.0", shop.release.build_digest)


def test_the_gate_is_asked_again_for_each_attempt(tmp_path: Path, server: LocalServer) -> None:
    shop = make_shop(tmp_path, server, approved=False)
    with pytest.raises(GateClosed):
        shop.deploy()
    assert not Run.objects.filter(application=shop.application).exists()


def test_a_point_of_no_return_is_remembered(tmp_path: Path, server: LocalServer) -> None:
    steps = [STEPS[0], step("drop", "exit 1", point_of_no_return=True)]
    shop = make_shop(tmp_path, server, deploy={"steps": steps})
    run = shop.deploy()
    assert run.result["no_return"] == "drop"
    refused = shop.roll_back()
    assert refused.state == "errored"
    assert "point of no return" in refused.error
    assert shop.fresh().state == "failed"
    assert shop.roll_back(reason="The drop did nothing; looked at it.").state == "passed"


def waited_past_the_window(shop: Shop) -> Run:
    """A deploy that was launched in its window, and that no worker took before the window was over."""
    run = services.start_deploy(release=shop.fresh(), actor=shop.team.manager)
    closed = timezone.now() - timedelta(minutes=1)
    Release.objects.filter(pk=shop.release.pk).update(window_opens=closed - timedelta(hours=1), window_closes=closed)
    return run


def test_one_that_waited_in_the_queue_until_the_window_was_over_changes_nothing(shop: Shop) -> None:
    run = executed(waited_past_the_window(shop))
    assert run.state == "errored"
    assert "No worker was free before the window closed" in run.summary
    assert not shop.written()
    assert runs_there(shop.production) == ("1.0", OLD)
    assert shop.fresh().state == "failed"


def test_one_before_which_a_change_freeze_was_declared_changes_nothing(shop: Shop) -> None:
    run = services.start_deploy(release=shop.fresh(), actor=shop.team.manager)
    now = timezone.now()
    create_freeze(
        application=shop.application, opens=now, closes=now + timedelta(hours=1), reason="Sales day.",
        actor=shop.team.manager,
    )  # fmt: skip
    run = executed(run)
    assert run.state == "errored"
    assert "a change freeze began" in run.summary
    assert "Sales day." in run.summary
    assert not shop.written()
    assert shop.fresh().state == "failed"


def broke_the_glass(shop: Shop, ago: timedelta) -> None:
    then = timezone.now() - ago
    BreakGlass.objects.create(
        release=shop.fresh(), plan_version=shop.fresh().plan_version, reason="The shop is down.",
        requested_by=shop.team.manager, requested_at=then, approved_by=shop.team.engineer, approved_at=then,
        expires_at=then + timedelta(hours=1), used_at=then, blockers=[],
    )  # fmt: skip


def test_one_that_two_people_let_through_the_glass_may_wait_until_that_expires(shop: Shop) -> None:
    run = waited_past_the_window(shop)
    broke_the_glass(shop, timedelta(0))
    assert executed(run).state == "passed"


def test_a_glass_that_an_earlier_launch_went_through_holds_for_no_later_one(shop: Shop) -> None:
    broke_the_glass(shop, timedelta(minutes=30))
    run = executed(waited_past_the_window(shop))
    assert run.state == "errored"
    assert "No worker was free before the window closed" in run.summary
