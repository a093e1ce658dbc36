"""An application with probes against a real server, and answers as the prober would record them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from monitoring.domain.probe import Answer, record_results
from monitoring.models import Probe
from releases.domain import deploy as deploys
from releases.models import Application, Environment, Release
from tests.factories import Team, make_application, make_approved, make_release, make_team
from tests.kinds_deploy.local_server import LocalServer


@dataclass
class Watched:
    application: Application
    team: Team
    server: LocalServer

    @property
    def production(self) -> Environment:
        return Environment.objects.get(application=self.application, name="production")

    @property
    def probe(self) -> Probe:
        return Probe.objects.get(environment=self.production, name="Front page")

    def release(self, **more: Any) -> Release:
        return make_release(application=self.application, requester=self.team.engineer, **more)

    def deployed(self) -> Release:
        """A release that was launched through the gate and whose deploy succeeded: it is watched."""
        from django.db import transaction

        release = make_approved(self.release(), self.team)
        with transaction.atomic():
            deploys.authorise_deploy(release=release, actor=self.team.manager)
        return deploys.deploy_succeeded(release=release)


def probe_section(name: str = "Front page", **more: Any) -> dict[str, Any]:
    return {"name": name, "environment": "production", "path": "/", "interval": "1s", "text": "welcome", **more}


def make_watched(server: LocalServer, *, seen: bool = True, **sections: Any) -> Watched:
    """``seen``: every probe was up already."""
    plan = {
        "environments": {
            "staging": {"tier": "staging", "url": server.url},
            "production": {"tier": "production", "url": server.url},
        },
        "probes": [probe_section()],
        "watch": {"duration": "60s", "max_error_rate": 0.1, "max_response": "500ms", "min_answers": 5},
        "alerts": {"emails": ["admins@gonogo.example"]},
        **sections,
    }
    application = make_application(plan=plan)
    if seen:
        Probe.objects.filter(environment__application=application).update(
            first_up_at=timezone.now() - timedelta(days=1)
        )
    return Watched(application, make_team(application), server)


def answers(
    probe: Probe, words: str, *, since: datetime | None = None, ms: float = 20, every: float = 1.0
) -> list[Answer]:
    """One answer for each letter: ``u`` up, ``d`` down. The last one is now, unless ``since`` says otherwise."""
    since = since or timezone.now() - timedelta(seconds=every * (len(words) - 1))
    return [
        Answer(
            probe_id=probe.pk,
            at=since + timedelta(seconds=index * every),
            up=letter == "u",
            status=200 if letter == "u" else 500,
            response_ms=ms,
            error="" if letter == "u" else "answered 500, expected 200",
        )
        for index, letter in enumerate(words)
    ]


def record(probe: Probe, words: str, **more: Any) -> int:
    return record_results(answers(probe, words, **more))


def figures_of(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]
