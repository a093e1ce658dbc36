"""One request of a probe against a real server."""

import asyncio
import re

import pytest

from monitoring import asking
from monitoring.asking import Target, ask, new_session
from monitoring.domain.probe import Answer
from tests.kinds_deploy.local_server import LocalServer, Reply, serving


def target(server: LocalServer, path: str = "/", **more: object) -> Target:
    facts = {"probe_id": 1, "url": server.url + path, "place": server.url, "interval": 1.0, "timeout": 2.0}
    return Target(**{**facts, "status": 200, "text": "", **more})  # type: ignore[arg-type]


def answer(wanted: Target) -> Answer:
    async def once() -> Answer:
        async with new_session(10) as session:
            return await ask(session, wanted)

    return asyncio.run(once())


def test_up_with_its_time(server: LocalServer) -> None:
    got = answer(target(server, text="welcome"))
    assert (got.up, got.status, got.error) == (True, 200, "")
    assert got.response_ms is not None
    assert 0 < got.response_ms < 1000


def test_another_status_is_down(server: LocalServer) -> None:
    got = answer(target(server, "/missing"))
    assert (got.up, got.status, got.error) == (False, 404, "answered 404, expected 200")


def test_another_text_is_down(server: LocalServer) -> None:
    assert answer(target(server, text="farewell")).error == "the expected text is not in the answer"


def test_no_answer_in_time_is_down(server: LocalServer) -> None:
    server.replies["/"].delay = 2
    got = answer(target(server, timeout=0.2))
    assert (got.up, got.response_ms, got.error) == (False, None, "no answer within 0.2 s")


def test_nobody_there_is_down() -> None:
    with serving() as gone:
        wanted = target(gone)
    assert re.fullmatch(r"no connection to 127\.0\.0\.1:\d+: connection refused", answer(wanted).error)


def test_a_redirect_on_the_host_is_followed(server: LocalServer) -> None:
    server.replies["/old"] = Reply(301, headers={"Location": "/"})
    assert answer(target(server, "/old", text="welcome")).up


@pytest.mark.parametrize("onward", ["http://169.254.169.254/", "//localhost/", "https://example.org/"])
def test_a_redirect_elsewhere_is_not_followed(server: LocalServer, onward: str) -> None:
    server.replies["/old"] = Reply(302, headers={"Location": onward})
    got = answer(target(server, "/old"))
    assert not got.up
    assert got.error == "redirects to another host, which is not followed"


def test_an_address_of_no_environment_is_never_asked(server: LocalServer) -> None:
    with serving({"/": Reply()}) as other:
        got = answer(target(server, url=other.url.replace("127.0.0.1", "localhost") + "/"))
        assert not got.up
        assert got.error == "the address is no longer one of its environment"
        assert other.seen == []


def test_an_endless_body_is_read_only_so_far(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MAX_BODY_BYTES", 100_000)
    server.replies["/big"] = Reply(body=b"x" * 5_000_000 + b"needle")
    assert not answer(target(server, "/big", text="needle")).up
    assert answer(target(server, "/big")).up
