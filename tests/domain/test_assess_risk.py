"""The risk register: computed from what is proven, rounded towards the worse, overridden by two people."""

from fractions import Fraction

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from releases.domain import gate, risk
from releases.domain.positions import RiskPosition, current, risk_positions
from releases.enums import EvidenceVerdict, Role, Treatment
from releases.errors import DomainError, NotAllowed
from releases.models import Release, Risk
from tests.factories import CHECKS, ApplicationFactory, ReleaseFactory, Team, answer, go_green, member

pytestmark = pytest.mark.django_db
SCALE = st.integers(1, 5)


def position(release: Release, key: str) -> RiskPosition:
    fresh = Release.objects.select_related("application", "plan_version").get(pk=release.pk)
    return next(each for each in risk_positions(fresh, timezone.now()) if each.risk.key == key)


@given(SCALE, SCALE, SCALE, SCALE, st.integers(0, 6), st.integers(1, 6))
def test_the_position_lies_between_inherent_and_residual_and_never_flatters(
    likelihood: int, impact: int, left: int, below: int, proven: int, of: int
) -> None:
    it = Risk(inherent_likelihood=likelihood, inherent_impact=impact, residual_likelihood=left, residual_impact=below)
    share = Fraction(min(proven, of), of)
    found = current(it, share)
    for now, start, end in ((found[0], likelihood, left), (found[1], impact, below)):
        assert min(start, end) <= now <= start
        assert now >= start - share * max(start - end, 0)
    assert current(it, Fraction(0)) == (likelihood, impact)
    if left <= likelihood and below <= impact:
        assert current(it, Fraction(1)) == (left, below)


def test_it_falls_as_mitigations_are_proven_and_rises_when_one_fails(release: Release) -> None:
    assert position(release, "data-loss").score == 15
    answer(release.items.get(key="transition.migration"))
    assert (position(release, "data-loss").likelihood, position(release, "data-loss").proven) == (3, 1)
    for key in ("transition.data", "recovery.backup"):
        answer(release.items.get(key=key))
    assert position(release, "data-loss").proven == 2
    answer(release.items.get(key="recovery.drill"))
    assert position(release, "data-loss").score == 5
    answer(release.items.get(key="recovery.drill"), verdict=EvidenceVerdict.FAILED)
    assert position(release, "data-loss").score == 10


def test_a_mitigation_without_items_or_with_unknown_ones_is_never_proven(team: Team) -> None:
    bare = {
        "key": "data-loss",
        "mitigations": [{"text": "We hope", "items": []}, {"text": "We guess", "items": ["testing.nothing"]}],
    }
    release = ReleaseFactory(application=ApplicationFactory(plan={"checks": CHECKS, "risks": [bare]}))
    go_green(release)
    found = position(release, "data-loss")
    assert (found.proven, found.score) == (0, 15)
    assert found.blocks
    assert ("risk", "data-loss") in {blocker.target for blocker in gate.evaluate(release).blockers}


def test_an_assessment_counts_once_confirmed_and_the_newest_confirmed_one_wins(release: Release, team: Team) -> None:
    it = release.risks.get(key="performance")
    go_green(release)
    high = risk.assess(
        risk=it, author=team.engineer, likelihood=4, impact=5, treatment=Treatment.MITIGATE, reason="Black Friday."
    )
    assert position(release, "performance").score == 8
    assert position(release, "performance").proposal == high
    risk.confirm_assessment(assessment=high, actor=team.manager)
    found = position(release, "performance")
    assert (found.score, found.blocks) == (20, True)
    assert "Black Friday" in found.reason
    low = risk.assess(
        risk=it, author=team.manager, likelihood=2, impact=3, treatment=Treatment.MITIGATE, reason="Moved to January."
    )
    risk.confirm_assessment(assessment=low, actor=team.approvers["engineering"])
    assert (position(release, "performance").score, position(release, "performance").blocks) == (6, False)


def test_an_older_assessment_is_not_confirmed_over_a_newer_one(release: Release, team: Team) -> None:
    it = release.risks.get(key="performance")
    facts = {"risk": it, "likelihood": 1, "impact": 1, "treatment": Treatment.MITIGATE, "reason": "Because."}
    older, newer = risk.assess(author=team.manager, **facts), risk.assess(author=team.manager, **facts)
    risk.confirm_assessment(assessment=newer, actor=team.approvers["security"])
    with pytest.raises(DomainError, match="A newer assessment"):
        risk.confirm_assessment(assessment=older, actor=team.approvers["security"])


def test_it_refuses_one_person_as_both_and_the_requester(release: Release, team: Team) -> None:
    member(release.application, Role.RELEASE_MANAGER, user=team.engineer)
    it = release.risks.get(key="privacy")
    facts = {"risk": it, "likelihood": 1, "impact": 1, "treatment": Treatment.ACCEPT, "reason": "Because."}
    mine = risk.assess(author=team.manager, **facts)
    with pytest.raises(NotAllowed, match="a second person must confirm"):
        risk.confirm_assessment(assessment=mine, actor=team.manager)
    with pytest.raises(NotAllowed, match="You requested this release"):
        risk.confirm_assessment(assessment=mine, actor=team.engineer)
    risk.confirm_assessment(assessment=mine, actor=team.approvers["security"])
    with pytest.raises(DomainError, match="confirmed already"):
        risk.confirm_assessment(assessment=mine, actor=team.approvers["engineering"])


def test_it_refuses_other_roles_and_values_off_the_scale(release: Release, team: Team) -> None:
    it = release.risks.get(key="privacy")
    good = {"risk": it, "likelihood": 1, "impact": 1, "treatment": Treatment.ACCEPT, "reason": "Because."}
    for person in (team.viewer, team.auditor, team.administrator):
        with pytest.raises(NotAllowed):
            risk.assess(author=person, **good)
    for wrong, sentence in (
        ({"likelihood": 6}, "from 1 to 5"),
        ({"impact": 0}, "from 1 to 5"),
        ({"treatment": "pray"}, "no treatment called 'pray'"),
        ({"reason": " "}, "Say why"),
    ):
        with pytest.raises(DomainError, match=sentence):
            risk.assess(author=team.manager, **{**good, **wrong})
