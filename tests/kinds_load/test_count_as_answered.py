"""What counts as an answer: another page than the one that was meant does not, whatever its status."""

from pathlib import Path
from typing import Any

import pytest

from releases.models import Evidence
from tests.engine.support import log_text, run_section
from tests.factories import make_team
from tests.kinds_deploy.local_server import LocalServer, Reply, serving
from tests.kinds_load.test_compare_with_last import installed, runs_in_last, with_last
from tests.kinds_load.test_invalid_loads import with_locustfile
from tests.kinds_load.test_make_load import QUICK, page, release_of, run_load

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.campaign]

LOAD: dict[str, Any] = {**QUICK, "steps": [2], "requests": [{"path": "/b"}], "limits": ["errors < 5%"], "stop": []}
LOG_IN = Reply(body=b'<form method="post"><input name="user"><input TYPE="password" name="word"></form>')


#: Sends strangers to the log-in, and shows the page to everybody.
EDGE = Reply(
    body=b'<form action="/log-in/"><input name="user"><input type="password" name="word"></form><h1>Hello</h1>'
)


def to(path: str) -> Reply:
    return Reply(302, headers={"Location": path})


def test_an_address_that_asks_strangers_for_a_password_is_not_loaded(server: LocalServer, storage_folder: Path) -> None:
    server.replies |= {"/b": to("/log-in/"), "/log-in/": LOG_IN}
    run = run_load(release_of(server, LOAD))
    assert (run.state, run.verdict) == ("errored", "errored"), log_text(run)
    assert "/b leads to /log-in/, which asks for a password" in run.error
    assert len(server.seen) == 2
    assert Evidence.objects.get(run_id=run.pk).verdict == "errored"


@pytest.mark.parametrize("place", ["/anmelden/", "/accounts/enter/"])
def test_a_log_in_page_of_any_name_is_not_loaded(server: LocalServer, storage_folder: Path, place: str) -> None:
    server.replies |= {"/b": to(place), place: LOG_IN}
    run = run_load(release_of(server, LOAD))
    assert (run.state, run.verdict) == ("errored", "errored"), log_text(run)
    assert f"/b leads to {place}, which asks for a password" in run.error


def test_a_log_in_page_at_the_very_address_is_told(server: LocalServer, storage_folder: Path) -> None:
    server.replies |= {"/b": LOG_IN}
    run = run_load(release_of(server, LOAD))
    assert "/b asks for a password, and that page was loaded." in run.result["notes"]


def test_a_log_in_page_in_front_of_the_last_release_is_no_comparison(server: LocalServer, storage_folder: Path) -> None:
    server.replies |= {"/same": Reply(), "/changed": Reply()}
    with serving({"/same": Reply(), "/changed": to("/log-in/"), "/log-in/": LOG_IN}) as last:
        application = with_last(server, last)
        runs_in_last(application, "0.9", "9" * 64)
        run = run_section(application, "checks.load", release=installed("1", application))
    assert (run.state, run.verdict) == ("errored", "errored"), log_text(run)
    assert "/changed in last leads to /log-in/, which asks for a password" in run.error
    assert len(server.seen) == 2


def test_a_log_in_page_that_the_plan_means_is_loaded(server: LocalServer, storage_folder: Path) -> None:
    server.replies |= {"/b": to("/log-in/"), "/log-in/": LOG_IN}
    run = run_load(release_of(server, {**LOAD, "requests": [{"path": "/b", "text": 'name="word"'}]}))
    assert run.state == "passed", log_text(run) + run.error
    assert "/b leads to /log-in/, and that page was loaded." in run.result["notes"]
    assert "and that page was loaded" in page(run, make_team(run.application).auditor)


def test_a_server_that_sends_visitors_to_a_waiting_room_has_not_answered_them(
    server: LocalServer, storage_folder: Path
) -> None:
    server.replies |= {"/b": Reply(), "/busy": Reply(body=b"Please wait.")}
    server.answered = lambda path: server.replies.update({"/b": to("/busy")})
    run = run_load(release_of(server, LOAD))
    assert (run.state, run.verdict) == ("failed", "failed"), log_text(run) + run.error
    assert any("led to /busy, where no address led before the load" in text for text, _ in run.result["failures"])


def test_a_redirect_to_the_same_path_is_no_other_page(server: LocalServer, storage_folder: Path) -> None:
    server.replies |= {"/b": to("/b?cookies=1"), "/b?cookies=1": Reply()}
    run = run_load(release_of(server, LOAD))
    assert run.state == "passed", log_text(run) + run.error
    assert not any("leads to" in note for note in run.result["notes"])


def test_a_page_that_welcomes_some_visitors_first_is_an_answer(server: LocalServer, storage_folder: Path) -> None:
    def welcome(path: str) -> None:
        server.replies["/b"] = to("/welcome/") if len(server.seen) % 4 else Reply()

    server.replies["/welcome/"] = Reply()
    server.before = welcome
    run = run_load(release_of(server, LOAD))
    assert run.state == "passed", log_text(run) + run.error
    assert "/b leads to /welcome/, and that page was loaded." in run.result["notes"]


def test_an_address_that_leads_somewhere_else_each_time_is_an_answer(server: LocalServer, storage_folder: Path) -> None:
    server.default = Reply()
    server.before = lambda path: server.replies.update({"/b": to(f"/items/{len(server.seen)}")})
    run = run_load(release_of(server, LOAD))
    assert run.state == "passed", log_text(run) + run.error


@pytest.mark.parametrize("place", ["/authors/", "/blog-in-short/"])
def test_a_page_with_a_log_in_form_at_its_edge_is_loaded(server: LocalServer, storage_folder: Path, place: str) -> None:
    server.replies |= {"/b": to(place), place: EDGE}
    run = run_load(release_of(server, LOAD))
    assert run.state == "passed", log_text(run) + run.error
    assert f"/b leads to {place}, and that page was loaded." in run.result["notes"]


def test_a_redirect_that_is_declared_is_an_answer_by_itself(server: LocalServer, storage_folder: Path) -> None:
    server.replies |= {"/b": to("/a"), "/a": Reply()}
    run = run_load(release_of(server, {**LOAD, "requests": [{"path": "/b", "status": 302}]}))
    assert run.state == "passed", log_text(run) + run.error
    assert set(server.seen) == {"/b"}


#: Calls everything good that comes.
FORGIVING = """
from locust import FastHttpUser, constant, task

class Reader(FastHttpUser):
    wait_time = constant(0.03)

    @task
    def read(self):
        with self.client.get("/b", name="read", catch_response=True) as answer:
            answer.success()
"""


def test_server_errors_that_a_locustfile_forgives_are_failures(
    server: LocalServer, storage_folder: Path, tmp_path: Path
) -> None:
    release = with_locustfile(server, tmp_path, FORGIVING, steps=[2], hold="4s", settle="1s")
    server.replies["/b"] = Reply(503)
    run = run_load(release)
    assert (run.state, run.verdict) == ("failed", "failed"), log_text(run) + run.error
    assert "answered 503, which the locustfile counts as good" in run.result["failures"][0][0]
    assert run.result["steps"][0]["failed"] == run.result["steps"][0]["count"]


def test_dropped_connections_that_a_locustfile_forgives_are_failures(
    server: LocalServer, storage_folder: Path, tmp_path: Path
) -> None:
    release = with_locustfile(server, tmp_path, FORGIVING, steps=[2], hold="4s", settle="1s")
    server.replies["/b"] = Reply(drop=True)
    run = run_load(release)
    assert (run.state, run.verdict) == ("failed", "failed"), log_text(run) + run.error
    assert any("no answer, which the locustfile counts as good" in text for text, _ in run.result["failures"])


def test_refusals_that_a_locustfile_forgives_are_told(
    server: LocalServer, storage_folder: Path, tmp_path: Path
) -> None:
    release = with_locustfile(server, tmp_path, FORGIVING, steps=[2], hold="4s", settle="1s")
    replies = [Reply(), Reply(), Reply(403)]
    server.before = lambda path: server.replies.update({path: replies[len(server.seen) % 3]})
    run = run_load(release)
    assert run.state == "passed", log_text(run) + run.error
    assert any("of the answers were refusals (4xx) that the locustfile counts as good." in note
               for note in run.result["notes"])  # fmt: skip


def test_a_locustfile_that_forgives_nothing_but_refusals_says_nothing(
    server: LocalServer, storage_folder: Path, tmp_path: Path
) -> None:
    release = with_locustfile(server, tmp_path, FORGIVING, steps=[2], hold="4s", settle="1s")
    server.replies["/b"] = Reply(403)
    run = run_load(release)
    assert (run.state, run.verdict) == ("errored", "errored"), log_text(run)
    assert "100% of the answers were refusals (4xx) that the locustfile counts as good" in run.error


#: Every second time it breaks off before it asks.
BREAKING = """
from locust import FastHttpUser, constant, task

class Reader(FastHttpUser):
    wait_time = constant(0.03)
    turn = 0

    @task
    def read(self):
        Reader.turn += 1
        if Reader.turn % 2:
            {}["talks"]
        self.client.get("/b", name="read")
"""


def test_a_locustfile_that_breaks_off_says_nothing(server: LocalServer, storage_folder: Path, tmp_path: Path) -> None:
    run = run_load(with_locustfile(server, tmp_path, BREAKING, steps=[2], hold="4s", settle="1s"))
    assert (run.state, run.verdict) == ("errored", "errored"), log_text(run)
    assert "users of the locustfile broke off" in run.error
    assert "KeyError: 'talks'" in run.error
