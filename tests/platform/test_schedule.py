"""What the scheduler starts exists, and does its work in a real worker's process."""

from config.celery import app


def test_every_scheduled_task_is_one_that_a_worker_knows() -> None:
    app.loader.import_default_modules()
    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert scheduled
    assert scheduled <= set(app.tasks)


def test_a_task_that_could_not_start_in_time_is_dropped() -> None:
    for entry in app.conf.beat_schedule.values():
        assert entry["options"]["expires"] <= entry["schedule"]


def test_messages_are_acknowledged_early_and_carry_json_only() -> None:
    assert app.conf.task_acks_late is False
    assert app.conf.accept_content == ["json"]
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.worker_disable_prefetch is True
