"""One application with a rich plan, one person for each role, and a release that is being rehearsed."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # this file is read before Django is set up
    from releases.models import Application, Release
    from tests.factories import Team


@pytest.fixture
def application(db: None) -> "Application":
    from tests.factories import CHECKS, make_application

    return make_application(plan={"checks": CHECKS})


@pytest.fixture
def team(application: "Application") -> "Team":
    from tests.factories import make_team

    return make_team(application)


@pytest.fixture
def release(application: "Application", team: "Team") -> "Release":
    """Requested by the engineer of the team."""
    from tests.factories import make_release

    return make_release(application=application, requester=team.engineer)
