"""Load by generators of other machines: real workers of Locust that come to ours, here over the loopback."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from checks.tools import toolbox
from checks.tools.loading.driving import free_port
from tests.engine.support import log_text
from tests.factories import make_team
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.kinds_load.test_make_load import page, release_of, run_load

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.campaign]

Come = Callable[[int], "subprocess.Popen[bytes]"]


@pytest.fixture
def come(tmp_path: Path) -> Iterator[Come]:
    """Starts a worker as the manual says; whoever still runs in the end is ended."""
    call_command("install_tools", "load")
    workers: list[subprocess.Popen[bytes]] = []

    def start(port: int) -> "subprocess.Popen[bytes]":
        folder = tmp_path / f"worker-{len(workers)}"
        folder.mkdir()
        argv = [str(toolbox.folder_of("load") / "bin" / "locust"), "--worker", "-f", "-"]
        argv += ["--master-host", "127.0.0.1", "--master-port", str(port)]
        variables = {"PATH": os.defpath, "TMPDIR": str(folder)}
        with (folder / "log").open("wb") as log:
            workers.append(subprocess.Popen(argv, cwd=folder, env=variables, stdout=log, stderr=log))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()
        worker.wait(10)


def params(port: int, **more: Any) -> dict[str, Any]:
    return {
        "steps": [4], "hold": "5s", "settle": "1s", "think": "20ms", "samples": 20, "limits": ["errors < 10%"],
        "requests": [{"path": "/b"}], "workers": {"expected": 2, "port": port, "wait": "20s"}, **more,
    }  # fmt: skip


def test_workers_from_elsewhere_make_one_record(server: LocalServer, storage_folder: Path, come: Come) -> None:
    server.replies["/b"] = Reply()
    port = free_port()
    workers = [come(port), come(port)]
    release = release_of(server, params(port))
    run = run_load(release)
    assert run.state == "passed", log_text(run) + run.error
    assert "2 of 2 generators are there." in log_text(run)
    assert run.result["steps"][0]["users"] == 4, "each of the two says that it has two"
    counted = sum(row[2] for row in run.result["seconds"])
    assert 0.6 * len(server.seen) < counted <= len(server.seen), "all whole seconds of five, of both"
    assert [worker.wait(20) is not None for worker in workers] == [True, True], "they leave when the load is over"
    assert "made by 2 generators on other machines" in page(run, make_team(release.application).auditor)


def test_too_few_workers_make_no_load(server: LocalServer, storage_folder: Path, come: Come) -> None:
    server.replies["/b"] = Reply()
    port = free_port()
    come(port)
    few = {"expected": 2, "port": port, "wait": "6s"}
    run = run_load(release_of(server, params(port, workers=few)))
    assert (run.state, run.verdict) == ("errored", "errored"), log_text(run)
    assert f"1 of 2 generators came to 127.0.0.1:{port} within 6 s, so no load was made." in run.error
    assert len(server.seen) == 1, "only we asked once"


def test_a_worker_that_is_lost_makes_the_run_invalid(server: LocalServer, storage_folder: Path, come: Come) -> None:
    server.replies["/b"] = Reply()
    port = free_port()
    first, _ = come(port), come(port)
    server.answered = lambda _: first.kill() if len(server.seen) >= 60 else None
    run = run_load(release_of(server, params(port, stop=[])))
    assert (run.state, run.verdict) == ("errored", "errored"), log_text(run)
    assert "seconds of a generator are missing" in run.error
