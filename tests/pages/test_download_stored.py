"""A file that the storage has lost is told as that, not as a broken page."""

import pytest
from django.core.files.storage import default_storage
from django.urls import reverse

from tests.engine.support import check, run_section
from tests.factories import make_application, make_team
from tests.pages.test_open_pages import browser


@pytest.mark.django_db(transaction=True)
def test_a_kept_file_is_downloaded_and_a_lost_one_is_named() -> None:
    application = make_application(plan={"checks": {"command": check("test_command")}})
    viewer = browser(make_team(application).manager)
    run = run_section(application, "checks.command", params={"store": {"a.txt": "kept"}})
    address = reverse("checks:artifact", args=[run.number, "a.txt"])
    found = viewer.get(address)
    assert b"".join(found.streaming_content) == b"kept"
    default_storage.delete(run.result["artifacts"][0]["key"])
    lost = viewer.get(address)
    assert lost.status_code == 404
    assert "the storage does not hold it any more" in lost.content.decode()
