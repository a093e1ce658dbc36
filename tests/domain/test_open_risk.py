"""A run that found what nothing explains opens a risk; two people close it, and nothing else does."""

import pytest
from django.utils import timezone

from releases.domain import gate, risk
from releases.domain.positions import RiskPosition
from releases.enums import Treatment
from releases.errors import DomainError
from releases.models import LedgerEntry, Release
from tests.factories import Team, answer, go_green

pytestmark = pytest.mark.django_db


def position(release: Release) -> RiskPosition:
    fresh = Release.objects.select_related("application", "plan_version").get(pk=release.pk)
    return next(each for each in gate.evaluate(fresh, timezone.now()).risks if each.risk.key == "data-loss")


def opened_blockers(release: Release) -> list[str]:
    fresh = Release.objects.select_related("application", "plan_version").get(pk=release.pk)
    return [each.text for each in gate.evaluate(fresh).blockers if each.code == "risk_opened"]


def test_an_opened_risk_stays_until_two_people_have_assessed_it_anew(release: Release, team: Team) -> None:
    go_green(release)
    it = release.risks.get(key="data-loss")
    said = {"likelihood": 1, "impact": 5, "treatment": Treatment.MITIGATE, "reason": "As ever."}
    before = risk.assess(risk=it, author=team.engineer, **said)
    risk.confirm_assessment(assessment=before, actor=team.manager)
    waiting = risk.assess(risk=it, author=team.engineer, **said)
    digest = gate.evaluate(release).digest
    assert not position(release).blocks

    risk.open_risk(release=release, key="data-loss", reason="Run #7 found 3 rows that differ.", run_number=7)
    found = position(release)
    assert (found.score, found.blocks, found.opened, found.proposal) == (25, True, True, None)
    assert opened_blockers(release) == ["Opened: Run #7 found 3 rows that differ. Two people must say where it stands."]
    assert gate.evaluate(release).digest != digest, "votes of before are about something else"
    entry = LedgerEntry.objects.get(action="risk.opened")
    assert entry.document["run"] == 7
    answer(release.items.get(key="transition.data"))
    assert position(release).opened, "a check that passes afterwards explains nothing"
    with pytest.raises(DomainError, match="assess it anew"):
        risk.confirm_assessment(assessment=waiting, actor=team.manager)

    anew = risk.assess(risk=it, author=team.engineer, **{**said, "reason": "A trigger that we had forgotten."})
    assert position(release).opened, "one signature is not two"
    risk.confirm_assessment(assessment=anew, actor=team.manager)
    found = position(release)
    assert (found.opened, found.blocks, found.score) == (False, False, 5)
    assert opened_blockers(release) == []


def test_a_risk_that_the_register_does_not_have_cannot_be_opened(release: Release) -> None:
    with pytest.raises(DomainError, match="has no risk no-such"):
        risk.open_risk(release=release, key="no-such", reason="x", run_number=1)
