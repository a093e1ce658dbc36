"""A generator that is missing, cannot be installed, does not end, or keeps half a record: no load, and the cause."""

from pathlib import Path

import pytest
from django.test import override_settings

from checks.models import Run
from checks.tools import toolbox
from checks.tools.loading import driving
from tests.engine.support import log_text
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.kinds_load.test_invalid_loads import with_locustfile
from tests.kinds_load.test_make_load import QUICK, release_of, run_load

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.campaign]


def errored(run: Run, told: str) -> None:
    assert (run.state, run.verdict) == ("errored", "errored"), log_text(run)
    assert told in run.error, run.error


def test_locust_that_cannot_be_installed_is_told(
    server: LocalServer, storage_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an index, as on a worker that reaches none."""
    server.replies |= {"/a": Reply(), "/b": Reply()}
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with override_settings(TOOLS_ROOT=tmp_path / "tools"):
        run = run_load(release_of(server, QUICK))
    errored(run, "locust could not be installed")
    assert "manage.py install_tools" in log_text(run) + run.remedy
    assert not list((tmp_path / "tools").glob("load-*/bin")), "half an installation is left"


def test_tools_that_may_not_be_written_are_told(server: LocalServer, storage_folder: Path) -> None:
    server.replies |= {"/a": Reply(), "/b": Reply()}
    with override_settings(TOOLS_ROOT=Path("/proc/nowhere")):
        run = run_load(release_of(server, QUICK))
    errored(run, "locust cannot be installed")


def test_an_installation_that_lost_its_program_is_told(
    server: LocalServer, storage_folder: Path, tmp_path: Path
) -> None:
    server.replies |= {"/a": Reply(), "/b": Reply()}
    with override_settings(TOOLS_ROOT=tmp_path / "tools"):
        folder = toolbox.folder_of("load")
        (folder / "bin").mkdir(parents=True)
        (folder / "complete").touch()
        run = run_load(release_of(server, QUICK))
    errored(run, "bin/python")


#: Nothing else of the process goes on while its users stand in a call of the system.
ENDLESS = """
import ctypes
from locust import FastHttpUser, constant, task

class Reader(FastHttpUser):
    wait_time = constant(0.1)

    @task
    def read(self):
        for _ in range(5):
            self.client.get("/b", name="read")
        ctypes.CDLL(None).sleep(600)
"""


def test_a_generator_that_does_not_end_is_ended_and_told(
    server: LocalServer, storage_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driving, "SLACK_SECONDS", 8.0)
    run = run_load(with_locustfile(server, tmp_path, ENDLESS, steps=[1], hold="5s", samples=1))
    errored(run, "The load generator did not end within 8 s of its schedule and was ended.")


HALF = """
from locust import FastHttpUser, constant, task

record = open("/proc/self/cmdline").read().strip("\\0").split("\\0")[-1]

class Reader(FastHttpUser):
    wait_time = constant(0.5)

    @task
    def read(self):
        self.client.get("/b", name="read")
        with open(record, "a") as file:
            print('{"second": 1, "coun', file=file)
"""


def test_half_a_record_is_no_load(server: LocalServer, storage_folder: Path, tmp_path: Path) -> None:
    run = run_load(with_locustfile(server, tmp_path, HALF, steps=[1], hold="4s", samples=1))
    errored(run, "The record of the load cannot be read")
