"""The page of a run that settles: what goes, what stays and why, in every look.

Set PICTURES to a folder to get a picture of each.
"""

from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from checks import services
from checks.models import Run
from releases.models import User
from tests.interface.browser import Complaints
from tests.interface.conftest import OpenPage
from tests.interface.test_compared_pages import Made, looked_at, made_aside
from tests.kinds_deploy.local_server import serving
from tests.kinds_deploy.settling_world import MORE_PEOPLE, passed, world

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.campaign, pytest.mark.django_db(transaction=True)]


def every_run(folder: Path) -> dict[str, tuple[Run, User]]:
    """Of what 2.0 moved the way back ended, 3.0 is watched; and one that has to wait for a deploy."""
    with serving() as server, world(folder, server) as made:
        made.deployed()
        made.live()
        made.age()
        made.next_release()
        made.data.at_source(MORE_PEOPLE)
        made.deployed()
        person = made.shop.team.manager
        dry, settled = passed(made.settle(dry=True)), passed(made.settle())
        back = services.start_rollback(release=made.shop.fresh(), actor=person)
        refused = made.settle()
        assert refused.state == "errored"
        services.cancel_run(run=back, actor=person)
        return {name: (run, person) for name, run in {"dry": dry, "settled": settled, "refused": refused}.items()}


def test_what_goes_and_what_stays_can_be_read_in_every_look(
    live_server: LiveServer, open_page: OpenPage, complaints: Complaints, storage_folder: Path, tmp_path: Path
) -> None:
    runs: dict[str, Made] = made_aside(lambda: every_run(tmp_path))  # type: ignore[arg-type, return-value, assignment]
    said = {
        name: looked_at(open_page(f"{live_server.url}/healthz"), live_server, complaints, made, f"settle-{name}")
        for name, made in runs.items()
    }
    assert "would be settled" in said["dry"]
    assert "3.0 is still watched in production until" in said["dry"]
    assert "1 settled, " in said["settled"]
    assert "stay, so that nothing is moved twice" in said["settled"]
    assert "holds production; wait until it has ended. Nothing was settled." in said["refused"]
