"""The computed state of checklist items: the newest evidence about this build and this plan decides."""

from datetime import timedelta

import pytest
from django.utils import timezone

from releases.domain import release as releases
from releases.domain.items import ItemStatus, item_statuses
from releases.enums import EvidenceVerdict, ItemState
from releases.models import Release
from tests.factories import CHECKS, Team, answer, check, go_green, publish, schedule

pytestmark = pytest.mark.django_db


def status(release: Release, key: str) -> ItemStatus:
    fresh = Release.objects.select_related("application", "plan_version").get(pk=release.pk)
    return next(each for each in item_statuses(fresh, timezone.now()) if each.item.key == key)


def test_an_item_without_evidence_is_open_and_says_what_to_do(release: Release) -> None:
    assert status(release, "testing.unit").state == ItemState.OPEN
    assert status(release, "testing.unit").reason == "Run unit in staging."
    assert status(release, "security.review").reason == "Nobody has signed this yet."
    assert status(release, "monitoring.alert").reason == "Waits for the receipt of a test alert."


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (EvidenceVerdict.PASSED, ItemState.PASSED),
        (EvidenceVerdict.FAILED, ItemState.FAILED),
        (EvidenceVerdict.ERRORED, ItemState.ERRORED),
        (EvidenceVerdict.INCONCLUSIVE, ItemState.ERRORED),
    ],
)
def test_only_a_passed_verdict_is_green(release: Release, verdict: str, state: str) -> None:
    answer(release.items.get(key="testing.unit"), verdict=verdict)
    found = status(release, "testing.unit")
    assert found.state == state
    assert found.green == (verdict == EvidenceVerdict.PASSED)


def test_a_failure_of_today_outweighs_a_pass_of_yesterday(release: Release) -> None:
    item = release.items.get(key="testing.unit")
    answer(item)
    answer(item, verdict=EvidenceVerdict.FAILED)
    assert status(release, "testing.unit").state == ItemState.FAILED
    answer(item)
    assert status(release, "testing.unit").state == ItemState.PASSED


def test_a_check_that_broke_after_a_pass_leaves_no_pass(release: Release) -> None:
    item = release.items.get(key="recovery.drill")
    answer(item)
    answer(item, verdict=EvidenceVerdict.ERRORED, summary="The database went away.")
    found = status(release, "recovery.drill")
    assert (found.state, found.reason) == (ItemState.ERRORED, "No answer: The database went away.")


def test_evidence_about_another_build_does_not_count(release: Release) -> None:
    answer(release.items.get(key="testing.unit"), build_digest="0" * 64)
    assert status(release, "testing.unit").state == ItemState.OTHER_BUILD


def test_evidence_from_another_environment_does_not_count(release: Release) -> None:
    answer(release.items.get(key="testing.unit"), environment=release.target_environment)
    assert status(release, "testing.unit").state == ItemState.OPEN


def test_evidence_under_a_changed_plan_section_does_not_count_and_the_rest_does(release: Release, team: Team) -> None:
    go_green(release)
    changed = publish(release.application, {"checks": {**CHECKS, "unit": check("suite", params={"again": True})}})
    releases.use_plan_version(release=release, plan_version=changed, actor=team.engineer)
    assert status(release, "testing.unit").state == ItemState.OTHER_PLAN
    assert status(release, "security.audit").state == ItemState.PASSED


def test_evidence_must_hold_to_the_end_of_the_window(release: Release, team: Team) -> None:
    item = release.items.get(key="recovery.drill")
    answer(item, valid_until=timezone.now() + timedelta(hours=3))
    assert status(release, "recovery.drill").state == ItemState.PASSED
    schedule(release, team.manager, hours=4)
    found = status(release, "recovery.drill")
    assert found.state == ItemState.EXPIRING
    assert "before the window ends" in found.reason
    answer(item, valid_until=timezone.now() + timedelta(hours=5))
    assert status(release, "recovery.drill").state == ItemState.PASSED


def test_evidence_that_ran_out_is_expired(release: Release) -> None:
    answer(release.items.get(key="recovery.backup"), valid_until=timezone.now() - timedelta(minutes=1))
    assert status(release, "recovery.backup").state == ItemState.EXPIRED


def test_the_shorter_of_item_and_evidence_decides_how_long_it_holds(release: Release) -> None:
    item = release.items.get(key="monitoring.alert")
    assert item.valid_for == timedelta(days=7)
    evidence = answer(item, valid_until=timezone.now() + timedelta(days=30))
    assert status(release, "monitoring.alert").valid_until == evidence.recorded_at + timedelta(days=7)


def test_a_signature_for_one_item_says_nothing_about_another(release: Release) -> None:
    answer(release.items.get(key="security.review"))
    assert status(release, "testing.acceptance").state == ItemState.OPEN


def test_evidence_of_another_release_of_the_same_build_does_not_count(release: Release) -> None:
    from tests.factories import ReleaseFactory

    other = ReleaseFactory(application=release.application)
    go_green(other)
    assert all(each.state == ItemState.OPEN for each in item_statuses(release, timezone.now()))
