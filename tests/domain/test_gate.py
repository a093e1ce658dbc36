"""What the gate says, and that it asks the database a fixed number of questions."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from releases.domain.gate import evaluate
from releases.enums import GateVerdict, ReleaseState
from tests.factories import CHECKS, ApplicationFactory, ReleaseFactory, make_approved, make_team

pytestmark = pytest.mark.django_db


def test_it_opens_when_everything_is_answered_and_every_station_voted_go() -> None:
    application = ApplicationFactory(plan={"checks": CHECKS})
    team = make_team(application)
    release = make_approved(ReleaseFactory(application=application, requester=team.engineer), team)
    gate = evaluate(release)
    assert [blocker.text for blocker in gate.blockers] == []
    assert gate.verdict == GateVerdict.GO
    assert release.state == ReleaseState.APPROVED
    with CaptureQueriesContext(
        connection,
    ) as captured:
        evaluate(release)
    print(len(captured))
