"""People walk the scripted cases of the acceptance: each verdict is kept, and together they answer one item."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from checks.errors import PlanError
from checks.plan import parse
from releases.domain import approval, evidence, gate
from releases.domain import environment as environments
from releases.domain import release as releases
from releases.domain.case import cases_of, judge_case
from releases.domain.items import ItemStatus
from releases.enums import ItemState, Role
from releases.errors import DomainError, NotAllowed, StateChanged
from releases.models import Application, CaseResult, Evidence, LedgerEntry, Release
from tests.factories import (
    MINIMAL_PLAN,
    Team,
    make_application,
    make_approved,
    make_release,
    make_team,
    member,
    publish,
    run_in_source,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage_folder")]

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100
CASES = [
    {"key": "join", "title": "Join a course", "steps": ["Open /courses/", "Press Join"], "expected": "It is yours."},
    {"key": "leave", "title": "Leave a course", "steps": ["Press Leave"], "expected": "It is gone."},
]
PLAN: dict[str, Any] = {"acceptance": {"cases": CASES}}


@pytest.fixture
def application(db: None) -> Application:
    return make_application(plan=PLAN)


@pytest.fixture
def team(application: Application) -> Team:
    return make_team(application)


@pytest.fixture
def release(application: Application, team: Team) -> Release:
    made = make_release(application=application, requester=team.engineer)
    run_in_source(made)
    return made


def item(release: Release) -> ItemStatus:
    found = gate.evaluate(Release.objects.get(pk=release.pk)).items
    return next(status for status in found if status.item.key == "testing.acceptance")


def states(release: Release) -> list[str]:
    return [case.state for case in cases_of(Release.objects.get(pk=release.pk))]


def test_the_item_holds_when_every_case_passed(release: Release, team: Team) -> None:
    assert item(release).state == ItemState.OPEN
    assert item(release).reason == "Not all of the plan's acceptance cases were walked."
    judge_case(release=release, key="join", verdict="passed", tester=team.engineer)
    assert item(release).state == ItemState.OPEN
    assert not Evidence.objects.exists()
    kept = judge_case(
        release=release, key="leave", verdict="passed", tester=team.manager, screenshot=("../a.png", io.BytesIO(PNG))
    )
    status = item(release)
    assert (status.state, status.reason) == (ItemState.PASSED, "2 of 2 cases passed.")
    assert status.evidence is not None
    assert [each["name"] for each in status.evidence.artifacts] == ["leave-a.png"]
    entry = LedgerEntry.objects.filter(action="case.judged").latest("sequence")
    assert (entry.actor_id, entry.document["case"], entry.document["verdict"]) == (team.manager.pk, "leave", "passed")
    assert entry.document["screenshot"]["sha256"] == kept.screenshot["sha256"]


@pytest.mark.parametrize("verdict", ["failed", "blocked"])
def test_one_that_did_not_pass_says_no_until_it_is_walked_again(release: Release, team: Team, verdict: str) -> None:
    judge_case(release=release, key="join", verdict=verdict, tester=team.manager, note="Nothing happened.")
    status = item(release)
    assert (status.state, status.reason) == (ItemState.FAILED, f"Join a course: {verdict}, Nothing happened.")
    assert gate.evaluate(release).verdict == "no_go"
    judge_case(release=release, key="join", verdict="passed", tester=team.manager)
    # The no is gone, and nobody has walked the other case yet: that is no yes.
    assert item(release).state == ItemState.ERRORED
    judge_case(release=release, key="leave", verdict="passed", tester=team.manager)
    assert item(release).state == ItemState.PASSED


def test_a_plain_signature_is_no_answer(release: Release, team: Team) -> None:
    with pytest.raises(DomainError, match="answered by walking the plan's acceptance cases"):
        evidence.sign_off(item=item(release).item, author=team.manager, statement="Fine.")
    plain = make_application()
    people = make_team(plain)
    other = make_release(application=plain, requester=people.engineer)
    evidence.sign_off(item=item(other).item, author=people.manager, statement="Fine.")
    assert item(other).state == ItemState.PASSED
    with pytest.raises(DomainError, match="has no case"):
        judge_case(release=other, key="join", verdict="passed", tester=people.manager)
    # A plan that asks for cases from now on is not answered by what was signed before.
    releases.use_plan_version(release=other, plan_version=publish(plain, PLAN), actor=people.manager)
    assert item(other).state == ItemState.OTHER_PLAN


def test_a_changed_case_and_another_build_are_walked_again(application: Application, release: Release,
                                                          team: Team) -> None:  # fmt: skip
    for key in ("join", "leave"):
        judge_case(release=release, key=key, verdict="passed", tester=team.manager)
    other = make_release(application=application, requester=team.engineer)
    assert states(other) == ["open", "open"]
    changed = [CASES[0], {**CASES[1], "expected": "It is gone, and a mail comes."}]
    plan = publish(application, {"acceptance": {"cases": changed}})
    releases.use_plan_version(release=release, plan_version=plan, actor=team.manager)
    assert states(release) == ["passed", "outdated"]
    assert item(release).state == ItemState.OTHER_PLAN
    judge_case(release=release, key="leave", verdict="passed", tester=team.manager)
    assert item(release).state == ItemState.PASSED


def test_another_plan_whose_cases_were_all_passed_is_answered_at_once(application: Application, release: Release,
                                                                     team: Team) -> None:  # fmt: skip
    for key in ("join", "leave"):
        judge_case(release=release, key=key, verdict="passed", tester=team.manager)
    first = release.plan_version
    fewer = publish(application, {"acceptance": {"cases": CASES[:1]}})
    releases.use_plan_version(release=release, plan_version=fewer, actor=team.manager)
    assert (item(release).state, item(release).reason) == (ItemState.PASSED, "1 of 1 cases passed.")
    releases.use_plan_version(release=release, plan_version=first, actor=team.manager)
    assert item(release).state == ItemState.PASSED
    judge_case(release=release, key="join", verdict="failed", tester=team.manager, note="It broke.")
    releases.use_plan_version(release=release, plan_version=fewer, actor=team.manager)
    assert item(release).state == ItemState.FAILED
    without = publish(application)
    releases.use_plan_version(release=release, plan_version=without, actor=team.manager)
    assert item(release).state == ItemState.OTHER_PLAN


@pytest.mark.parametrize("running", ["2.0", "1.0", ""])
def test_a_verdict_about_what_does_not_run_there_is_refused(release: Release, team: Team, running: str) -> None:
    """The tester walked what was deployed last, and pressed Passed on the page of the release before."""
    place = release.source_environment
    if running:
        version = release.version if running == "1.0" else running
        environments.build_running(environment=place, release=None, version=version, build_digest="b" * 64)
    else:
        environments.build_changing(environment=place)
    seen = {"2.0": "staging runs 2.0, not", "1.0": f"another build of {release.version}", "": "nobody can name"}
    with pytest.raises(StateChanged, match=seen[running]):
        judge_case(release=release, key="join", verdict="passed", tester=team.engineer)
    assert not CaseResult.objects.exists()
    run_in_source(release)
    assert judge_case(release=release, key="join", verdict="passed", tester=team.engineer).verdict == "passed"


def test_who_walked_a_case_cannot_vote(release: Release, team: Team) -> None:
    security = team.approvers["security"]
    judge_case(release=release, key="join", verdict="passed", tester=security)
    judge_case(release=release, key="leave", verdict="passed", tester=member(release.application, Role.ENGINEER))
    for status in gate.evaluate(release).items:
        if status.item.key == "testing.acceptance":
            assert status.evidence is not None
            assert security.pk in status.evidence.figures["tester_ids"]
    with pytest.raises((NotAllowed, DomainError)):
        approval.cast_vote(
            release=release, station="security", voter=security, choice="go", comment="",
            manifest_digest=gate.evaluate(release).digest,
        )  # fmt: skip


def test_a_verdict_after_the_votes_makes_them_stale(release: Release, team: Team) -> None:
    tester = member(release.application, Role.ENGINEER)
    for key in ("join", "leave"):
        judge_case(release=release, key=key, verdict="passed", tester=tester)
    make_approved(release, team)
    judge_case(release=release, key="join", verdict="failed", tester=tester, note="It broke after all.")
    release.refresh_from_db()
    assert release.state == "rehearsing"
    assert gate.evaluate(release).verdict == "no_go"


def test_it_refuses_who_may_not_and_what_says_nothing(release: Release, team: Team) -> None:
    for person in (team.viewer, team.auditor, team.administrator):
        with pytest.raises(NotAllowed):
            judge_case(release=release, key="join", verdict="passed", tester=person)
    with pytest.raises(DomainError, match="Say what you saw"):
        judge_case(release=release, key="join", verdict="failed", tester=team.manager, note="  ")
    with pytest.raises(DomainError, match="passed, failed or is blocked"):
        judge_case(release=release, key="join", verdict="maybe", tester=team.manager)
    page = ("a.png", io.BytesIO(b"<script>alert(1)</script>"))
    with pytest.raises(DomainError, match="PNG, JPEG"):
        judge_case(release=release, key="join", verdict="passed", tester=team.manager, screenshot=page)
    Release.objects.filter(pk=release.pk).update(state="cancelled")
    with pytest.raises(StateChanged):
        judge_case(release=release, key="join", verdict="passed", tester=team.manager)
    assert not CaseResult.objects.exists()


def test_a_picture_of_a_verdict_that_is_refused_is_not_kept(release: Release, team: Team, storage_folder: Path) -> None:
    def stored() -> set[Path]:
        return {path for path in storage_folder.rglob("*") if path.is_file()}

    before = stored()
    Release.objects.filter(pk=release.pk).update(state="cancelled")
    with pytest.raises(StateChanged):
        judge_case(
            release=release, key="join", verdict="passed", tester=team.manager, screenshot=("a.png", io.BytesIO(PNG))
        )
    assert stored() == before


def test_the_database_keeps_verdicts_as_they_were(release: Release, team: Team) -> None:
    kept = judge_case(release=release, key="join", verdict="passed", tester=team.manager)
    with pytest.raises(IntegrityError), transaction.atomic():
        CaseResult.objects.filter(pk=kept.pk).update(verdict="failed", note="x")
    with pytest.raises(IntegrityError), transaction.atomic():
        kept.delete()


def test_two_cases_of_one_name_are_refused_in_the_plan() -> None:
    tree = {**MINIMAL_PLAN, "acceptance": {"cases": [CASES[0], CASES[0]]}}
    with pytest.raises(PlanError, match="two cases are called 'join'"):
        parse(json.dumps(tree))
