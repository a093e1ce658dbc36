"""A plan that is valid and cannot lead to a live release says so when it is published."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from releases.domain.foresight import warnings_of
from releases.models import Application
from tests.factories import MINIMAL_PLAN, Team, publish

pytestmark = pytest.mark.django_db
NONE = "The plan has no probe of production"


def probe(environment: str = "production", **more: Any) -> dict[str, Any]:
    return {"name": f"Front of {environment}", "environment": environment, "path": "/", **more}


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({}, [NONE]),
        ({"probes": [probe("staging")]}, ["(they ask staging only)"]),
        ({"probes": [probe()]}, []),
        ({"probes": [probe(interval="5m")]}, ["asks for 10 answers, and the probes of production give 3 at most"]),
        ({"probes": [probe(interval="5m")], "watch": {"min_answers": 3}}, []),
        ({"environments": {"staging": {"tier": "staging", "url": "http://127.0.0.1:1"}}}, []),
    ],
)
def test_a_watch_that_nothing_can_answer_is_foreseen(
    application: Application, sections: dict[str, Any], said: list[str]
) -> None:
    sentences = warnings_of(publish(application, sections).document)
    assert len(sentences) == len(said)
    assert all(part in sentence for part, sentence in zip(said, sentences, strict=True))


def test_who_publishes_such_a_plan_reads_it_at_once(application: Application, team: Team, client: Client) -> None:
    client.force_login(team.manager, backend="django.contrib.auth.backends.ModelBackend")
    address = reverse("checks:plan_new", args=[application.slug])
    tree = {**MINIMAL_PLAN, "application": application.slug, "title": "Shop"}
    text = client.post(address, {"text": json.dumps(tree)}, follow=True).content.decode()
    assert NONE in text
    assert "cannot pass its watch" in text
    tree["probes"] = [probe()]
    answer = client.post(address, {"text": json.dumps(tree)}, follow=True)
    assert answer.redirect_chain
    assert "cannot pass its watch" not in answer.content.decode()
