"""With which earlier run a load's short runs are compared."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from checks.models import Run
from checks.tools.loading.rivals import earlier_run
from releases.models import Application, Environment, Release
from tests.factories import make_application, make_release

pytestmark = pytest.mark.django_db

COMPARE = {"load": 4.0, "runs": 4, "each": "PT5S", "settle": "PT1S", "environment": None}
SCENARIO = {"requests": [{"path": "/"}], "mode": "closed"}


def loaded(application: Application, *, live_days_ago: int | None = None, **result: Any) -> Run:
    """A passed load of a build of its own."""
    release = make_release(application=application)
    if live_days_ago is not None:
        Release.objects.filter(pk=release.pk).update(live_at=timezone.now() - timedelta(days=live_days_ago))
    now = timezone.now()
    return Run.objects.create(
        number=Run.objects.count() + 1, application=application, release=release,
        environment=Environment.objects.get(application=application, name="staging"),
        plan_version=application.current_plan, kind="load", section="checks.load", section_digest="0" * 64,
        build_digest=release.build_digest, state="passed",
        created_at=now, queued_at=now, ended_at=now,
        result={"comparison": {"now": {"/": [1.0]}}, "compare": COMPARE, "scenario": SCENARIO, **result},
    )  # fmt: skip


def chosen(run: Run) -> Run | None:
    return earlier_run(run, plan=COMPARE, scenario=SCENARIO)


def test_the_build_that_went_live_last_comes_before_newer_candidates() -> None:
    application = make_application()
    loaded(application, live_days_ago=90)
    live = loaded(application, live_days_ago=30)
    loaded(application)
    assert chosen(loaded(application)) == live


def test_where_none_went_live_it_is_the_newest_other_build() -> None:
    application = make_application()
    loaded(application)
    newest = loaded(application)
    assert chosen(loaded(application)) == newest


def test_one_that_was_made_otherwise_is_passed_over_and_how_it_was_judged_changes_nothing() -> None:
    application = make_application()
    older = loaded(application, live_days_ago=90, compare={**COMPARE, "ratio": 1.5, "addresses": ["/"]})
    loaded(application, live_days_ago=30, compare={**COMPARE, "load": 8.0})
    loaded(application, scenario={**SCENARIO, "mode": "open"})
    assert chosen(loaded(application)) == older
