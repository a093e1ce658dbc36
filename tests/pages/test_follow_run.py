"""What the page of a run fetches while it is open."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from checks.models import Run
from releases.domain import environment as environments
from tests.engine.support import application_with, check, start
from tests.factories import ReleaseFactory, make_team

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run() -> Run:
    application = application_with({"load": check("load", params={"steps": [1]})})
    release = ReleaseFactory(application=application)
    environments.adopt_build(
        environment=release.source_environment, version=release.version, build_digest=release.build_digest, actor=None,
        reason="A test.",
    )  # fmt: skip
    return start(application, "checks.load", release=release)


@pytest.fixture
def client(run: Run) -> Client:
    client = Client()
    client.force_login(make_team(run.application).viewer, backend="django.contrib.auth.backends.ModelBackend")
    return client


def asked(client: Client, run: Run, part: str, **headers: str) -> str:
    answer = client.get(reverse("checks:run_detail", args=[run.number]), {"part": part}, headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


def test_what_changes_each_second_comes_in_one_answer_and_says_where_it_belongs(client: Client, run: Run) -> None:
    text = asked(client, run, "progress", **{"HX-Request": "true"})
    places = re.findall(r'<(?:section|div) [^>]*?id="(run-[a-z]+)"([^>]*)>', text)
    assert [place for place, _ in places] == ["run-steps", "run-head", "run-live"]
    assert [bool(re.search(r'hx-swap-oob="true"', rest)) for _, rest in places] == [False, True, True]
    assert "<html" not in text


def test_the_page_itself_has_each_part_once_and_where_it_stands(client: Client, run: Run) -> None:
    text = asked(client, run, "")
    assert "hx-swap-oob" not in text
    for place in ("run-steps", "run-head", "run-live", "run-verdict", "run-result"):
        assert text.count(f'id="{place}"') == 1
    assert [text.count(f"?part={part}") for part in ("progress", "verdict", "result")] == [1, 1, 1]


@pytest.mark.parametrize("part", ["progress", "steps", "nothing"])
def test_without_scripts_or_for_an_unknown_part_the_whole_page_comes(client: Client, run: Run, part: str) -> None:
    assert "<html" in asked(client, run, part)
