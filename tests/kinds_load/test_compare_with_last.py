"""The comparison with the last release, run for real: first beside it, then against the record of that run."""

from pathlib import Path
from typing import Any

import pytest

from checks.models import Run
from releases.domain import environment as environments
from releases.models import Environment, Release, User
from tests.engine.support import check, log_text, run_section
from tests.factories import make_application, make_release, make_team
from tests.kinds_deploy.local_server import LocalServer, Reply, serving
from tests.kinds_load.test_make_load import page

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.campaign]

SHORT = {"load": 10, "runs": 4, "each": "4s", "settle": "0s"}
LOAD: dict[str, Any] = {
    "steps": [8], "hold": "10s", "settle": "0s", "think": "10ms", "samples": 20, "limits": ["errors < 10%"],
    "requests": [{"path": "/same"}, {"path": "/changed"}],
}  # fmt: skip
CONSENT = {"by": "Operations", "on": "2026-01-01", "at_most": 10}
#: Long against what a busy machine adds to an answer.
AS_FAST, SLOWER = 1.2, 1.6


def installed(version: str, application: Any, requester: User | None = None) -> Release:
    """A release whose build runs in staging, by a person's word."""
    release = make_release(application=application, version=version, requester=requester)
    staging = Environment.objects.get(application=application, name="staging")
    environments.adopt_build(
        environment=staging, version=version, build_digest=release.build_digest, actor=None, reason="Put there by hand."
    )
    return release


def with_last(server: LocalServer, last: LocalServer, **params: Any) -> Any:
    """An application whose last release runs in the environment last, beside staging."""
    places = {
        "staging": {"tier": "staging", "url": server.url},
        "last": {"tier": "staging", "url": last.url},
        "production": {"tier": "production", "url": last.url.replace("127.0.0.1", "localhost")},
    }
    compare = {**SHORT, "environment": "last", **params.pop("compare", {})}
    return make_application(plan={
        "environments": places,
        "checks": {"load": check("load", params={**LOAD, **params, "compare": compare})},
        "load": {"consent": {"staging": CONSENT, "last": CONSENT}},
    })  # fmt: skip


def runs_in_last(application: Any, version: str, build_digest: str) -> None:
    environments.adopt_build(
        environment=Environment.objects.get(application=application, name="last"), version=version,
        build_digest=build_digest, actor=None, reason="It was never taken away.",
    )  # fmt: skip


def words(run: Run) -> dict[str, str]:
    return {one["endpoint"]: one["word"] for one in run.result["comparison"]["found"]}


def test_an_equal_release_is_never_called_worse_on_whatever_machine(server: LocalServer, storage_folder: Path) -> None:
    """Beside others, equal may be too unsteady to be told; ``test_compare_releases`` has the rule on recorded runs."""
    with serving() as last:
        for each in (server, last):
            each.replies |= {"/same": Reply(delay=AS_FAST), "/changed": Reply(delay=AS_FAST)}
        application = with_last(server, last)
        runs_in_last(application, "0.9", "9" * 64)
        equal = run_section(application, "checks.load", release=installed("1", application))
    told = words(equal)
    assert set(told) == {"/same", "/changed"}, log_text(equal) + equal.error
    assert set(told.values()) <= {"not worse", "inconclusive"}, equal.result["comparison"]
    assert equal.result["comparison"]["interleaved"]
    assert equal.result["comparison"]["against"] == "version 0.9 in last"
    if "inconclusive" in told.values():
        assert (equal.state, equal.verdict) == ("errored", "errored"), "what cannot be told is no pass"
        assert "became slower cannot be told" in equal.error
    else:
        assert equal.state == "passed", log_text(equal) + equal.error
        assert equal.summary.endswith(". Not slower than version 0.9 in last.")


def test_one_that_is_slower_by_a_third_is_called_worse_beside_the_last(
    server: LocalServer, storage_folder: Path
) -> None:
    with serving() as last:
        server.replies |= {"/same": Reply(delay=AS_FAST), "/changed": Reply(delay=SLOWER)}
        last.replies |= {"/same": Reply(delay=AS_FAST), "/changed": Reply(delay=AS_FAST)}
        application = with_last(server, last, compare={"runs": 5})
        runs_in_last(application, "0.9", "9" * 64)
        slower = run_section(application, "checks.load", release=installed("1", application))
    assert slower.state == "failed", log_text(slower) + slower.error
    assert words(slower)["/changed"] == "worse"
    assert words(slower)["/same"] in ("not worse", "inconclusive"), slower.result["comparison"]
    assert slower.summary.startswith("Slower than the last release: /changed +")


def test_one_that_is_slower_by_a_third_is_called_worse_against_the_record(
    server: LocalServer, storage_folder: Path
) -> None:
    """What both sides ask at different times meets a different machine, so nothing is said here of what is equal."""
    server.replies["/changed"] = Reply(delay=AS_FAST)
    application = with_last(server, server, requests=[{"path": "/changed"}])
    params = {**LOAD, "requests": [{"path": "/changed"}], "compare": SHORT}
    first = run_section(application, "checks.load", release=installed("1", application), params=params)
    assert first.state == "passed", log_text(first) + first.error

    server.replies["/changed"] = Reply(delay=SLOWER)
    slower = run_section(application, "checks.load", release=installed("2", application), params=params)
    assert slower.state == "failed", log_text(slower) + slower.error
    assert slower.summary.startswith("Slower than the last release: /changed +")
    assert slower.result["comparison"]["against"] == f"run #{first.number} of another build"
    assert words(slower) == {"/changed": "worse"}
    assert f"run #{first.number} of another build" in page(slower, make_team(application).auditor)


def test_a_release_is_not_compared_with_itself_nor_with_what_nobody_knows(
    server: LocalServer, storage_folder: Path
) -> None:
    server.replies |= {"/same": Reply(), "/changed": Reply()}
    with serving(server.replies) as last:
        application = with_last(server, last)
        release = installed("1", application)
        unknown = run_section(application, "checks.load", release=release)
        runs_in_last(application, "1", release.build_digest)
        same = run_section(application, "checks.load", release=release)
        assert len(last.seen) == 0
    assert (unknown.state, same.state) == ("errored", "errored"), log_text(unknown) + log_text(same)
    assert "Nobody can say which build runs in last" in unknown.error
    assert "last runs the same build" in same.error


BRIEF: dict[str, Any] = {**LOAD, "hold": "5s", "requests": [{"path": "/same"}]}


def test_a_build_that_none_before_can_be_compared_with_is_no_pass_and_the_next_one_is_compared_with_it(
    server: LocalServer, storage_folder: Path
) -> None:
    server.replies |= {"/same": Reply(delay=0.1)}
    with serving(server.replies) as last:
        application = with_last(server, last)

        def run(version: str, **compare: Any) -> Run:
            release = installed(version, application)
            params = {**BRIEF, "compare": {"load": 8, "runs": 4, "each": "3s", "settle": "0s", **compare}}
            return run_section(application, "checks.load", release=release, params=params)

        first, changed, third = run("1"), run("2", load=6), run("3", load=6)
    assert first.state == "passed", log_text(first) + first.error
    assert first.result["notes"][0].startswith("This is the first build that was loaded here")
    assert first.summary.endswith(". No earlier build was loaded here to compare it with.")
    assert (changed.state, changed.verdict) == ("errored", "errored"), log_text(changed)
    assert "No run of an earlier build can be compared with this one" in changed.error
    assert "the locustfile, or what the plan compares, was changed since" in page(
        changed, make_team(application).auditor
    )
    assert third.result["comparison"]["against"] == f"run #{changed.number} of another build"
    assert list(words(third)) == ["/same"]


def test_a_short_run_that_fails_too_often_is_no_observation(server: LocalServer, storage_folder: Path) -> None:
    server.replies |= {"/same": Reply(delay=0.1)}
    replies = Reply(delay=0.1), Reply(500, delay=0.1)
    server.answered = lambda _: server.replies.update({"/same": replies[len(server.seen) % 5 == 0]})
    with serving(server.replies) as last:
        application = with_last(server, last)
        run = run_section(application, "checks.load", release=installed("1", application),
                          params={**BRIEF, "compare": {**SHORT, "each": "3s"}})  # fmt: skip
    assert run.state == "errored", log_text(run)
    assert "A short run on" in run.error
    assert "cannot be compared: errors is" in run.error
