"""The state machine: the code's table and the database's trigger are the same, and every verb keeps to it."""

import contextlib
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from releases.domain import break_glass, deploy, gate
from releases.domain import release as releases
from releases.enums import RELEASE_TRANSITIONS, ReleaseState
from releases.errors import DomainError
from releases.models import Application, LedgerEntry, Release
from tests.factories import ReleaseFactory, Team, go_green, schedule, vote

pytestmark = pytest.mark.django_db

STATES = st.sampled_from(ReleaseState.values)


def force(release: Release, state: str) -> None:
    """Put a release into a state past the guard, as only a superuser of the database can."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE releases_release SET state = %s WHERE id = %s", [state, release.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=STATES, after=STATES)
def test_the_database_allows_exactly_the_ways_of_the_table(release: Release, before: str, after: str) -> None:
    force(release, before)
    allowed = after == before or after in RELEASE_TRANSITIONS[before]
    if (before, after) == ("rehearsing", "deploying"):
        allowed = False  # break-glass is missing here
    if allowed:
        with transaction.atomic():
            Release.objects.filter(pk=release.pk).update(state=after)
    else:
        with pytest.raises(IntegrityError), transaction.atomic():
            Release.objects.filter(pk=release.pk).update(state=after)
    assert Release.objects.get(pk=release.pk).state == (after if allowed else before)


def test_every_pair_of_the_table_is_tried() -> None:
    assert set(RELEASE_TRANSITIONS) == set(ReleaseState.values)


def test_a_release_begins_as_a_draft(release: Release) -> None:
    row = Release.objects.filter(pk=release.pk).values().get()
    row |= {"id": "7b0b2c0e-0000-4000-8000-000000000000", "version": "9", "state": "approved"}
    with pytest.raises(IntegrityError, match="begins as a draft"), transaction.atomic():
        Release.objects.create(**row)


@pytest.mark.parametrize(
    "field", ["build_digest", "build_key", "build_size", "version", "requester", "target_environment"]
)
def test_what_a_release_is_about_never_changes(release: Release, team: Team, field: str) -> None:
    other = {
        "build_digest": "a" * 64,
        "build_key": "builds/other",
        "build_size": 1,
        "version": "other",
        "requester": team.manager,
        "target_environment": release.source_environment,
    }
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        Release.objects.filter(pk=release.pk).update(**{field: other[field]})


class Life(RuleBasedStateMachine):
    """Random verbs in random order: a verb does ways of the table with a ledger entry for each, or changes nothing."""

    team: Team
    application: Application

    def __init__(self) -> None:
        super().__init__()
        self.release = ReleaseFactory(application=self.application, requester=self.team.engineer, rehearsing=False)
        self.known = ReleaseState.DRAFT.value

    def attempt(self, deed: Callable[[], object]) -> None:
        entries = LedgerEntry.objects.filter(release_id=self.release.pk)
        newest = entries.order_by("-id").values_list("id", flat=True).first() or 0
        refusal = ""
        try:
            with transaction.atomic():
                deed()
        except DomainError as error:
            refusal = error.message
        now = Release.objects.get(pk=self.release.pk).state
        steps = [
            (document["before"]["state"], document["after"]["state"])
            for document in entries.filter(id__gt=newest).order_by("id").values_list("document", flat=True)
            if isinstance(document.get("after"), dict) and "state" in document["after"]
        ]
        assert not (refusal and steps)
        assert not refusal or refusal.endswith(".")
        at = self.known
        for before, after in steps:
            assert before == at
            assert after == before or after in RELEASE_TRANSITIONS[before]
            at = after
        assert at == now
        self.known = now

    @rule()
    def rehearse(self) -> None:
        self.attempt(lambda: releases.start_rehearsal(release=self.release, actor=self.team.engineer))

    @rule()
    def prepare(self) -> None:
        def deed() -> None:
            schedule(self.release, self.team.manager)
            go_green(self.release)

        self.attempt(deed)

    @rule()
    def ask(self) -> None:
        self.attempt(lambda: releases.open_poll(release=self.release, actor=self.team.manager))

    @rule(station=st.sampled_from(["release-management", "engineering", "security"]))
    def vote(self, station: str) -> None:
        self.attempt(lambda: vote(self.release, self.team.approvers[station], station))

    @rule()
    def vote_all(self) -> None:
        def deed() -> None:
            for station, voter in self.team.approvers.items():
                with contextlib.suppress(DomainError), transaction.atomic():
                    vote(self.release, voter, station)

        self.attempt(deed)

    @rule()
    def glass(self) -> None:
        def deed() -> None:
            asked = break_glass.request_break_glass(
                release=self.release,
                requester=self.team.manager,
                reason="Urgent.",
                expires_at=timezone.now() + timedelta(hours=1),
            )
            break_glass.approve_break_glass(glass=asked, approver=self.team.approvers["security"])

        self.attempt(deed)

    @rule()
    def launch(self) -> None:
        self.attempt(lambda: deploy.authorise_deploy(release=self.release, actor=self.team.manager))

    @rule()
    def succeed(self) -> None:
        self.attempt(lambda: deploy.deploy_succeeded(release=self.release, run_number=1))

    @rule()
    def fail(self) -> None:
        self.attempt(lambda: deploy.deploy_failed(release=self.release, run_number=1, reason="No."))

    @rule()
    def lose(self) -> None:
        self.attempt(lambda: deploy.deploy_unknown(release=self.release, run_number=1))

    @rule(outcome=st.sampled_from(["succeeded", "failed", "rolled_back", "nonsense"]))
    def decide(self, outcome: str) -> None:
        self.attempt(
            lambda: deploy.decide_unknown(
                release=self.release, outcome=outcome, actor=self.team.manager, reason="Looked."
            )
        )

    @rule()
    def live(self) -> None:
        self.attempt(lambda: deploy.went_live(release=self.release))

    @rule()
    def roll_back(self) -> None:
        self.attempt(lambda: deploy.rolled_back(release=self.release, run_number=2))

    @rule()
    def reopen(self) -> None:
        self.attempt(lambda: deploy.reopen(release=self.release, actor=self.team.manager, reason="Again."))

    @rule()
    def cancel(self) -> None:
        self.attempt(lambda: releases.cancel(release=self.release, actor=self.team.manager, reason="Enough."))

    @invariant()
    def approved_means_open(self) -> None:
        if self.known == ReleaseState.APPROVED:
            assert gate.evaluate(Release.objects.get(pk=self.release.pk)).open

    def teardown(self) -> None:
        force(self.release, "cancelled")  # the environment is free for the next life


def test_any_order_of_verbs_keeps_state_and_ledger_in_step(application: Application, team: Team) -> None:
    Life.team, Life.application = team, application
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Life, settings=settings(max_examples=12, stateful_step_count=15, deadline=None)
    )
