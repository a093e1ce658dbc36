"""Real objects for tests, made by the same verbs that the program uses.

application = ApplicationFactory()              # with a plan, the environments staging and production
team = make_team(application)                   # one person for each role, three approvers
release = ReleaseFactory(application=application, requester=team.engineer)
go_green(release)                               # evidence for every item, by nobody who votes
make_approved(release, team)                    # window, poll and three votes: the gate is open
"""

import functools
import hashlib
import io
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import factory
import rfc8785
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils import timezone

from checks.plan import Plan, section_digests, to_document
from releases.domain import application as applications
from releases.domain import approval, evidence
from releases.domain import environment as environments
from releases.domain import gate as gates
from releases.domain import release as releases
from releases.enums import Choice, EvidenceSource, EvidenceVerdict, Role
from releases.models import Application, ChecklistItem, Environment, Evidence, Membership, PlanVersion, Release, User

STATIONS = ("release-management", "engineering", "security")
_counter = itertools.count(1)

_STEP = {"key": "switch", "title": "Switch", "category": "back_end", "command": {"argv": ["true"]}}

#: A whole plan without checks: every item but the rollback is answered by people. Valid YAML as JSON.
MINIMAL_PLAN: dict[str, Any] = {
    "application": "example",
    "title": "Example",
    "environments": {
        "staging": {"tier": "staging", "url": "http://127.0.0.1:1"},
        "production": {"tier": "production", "url": "http://127.0.0.1:2"},
    },
    "deploy": {"steps": [_STEP], "smoke": [{"path": "/"}]},
    "rollback": {"steps": [_STEP], "smoke": [{"path": "/"}]},
}


def check(kind: str, environment: str = "staging", **more: Any) -> dict[str, Any]:
    """A check section of a plan."""
    return {"kind": kind, "title": kind.capitalize(), "environment": environment, **more}


#: Checks for every item that a run can answer. Their params are empty, so only the domain can use them.
CHECKS: dict[str, Any] = {
    "unit": check("suite"),
    "smoke": check("smoke"),
    "audit": check("audit"),
    "load": check("load"),
    "migration": check("migration"),
    "reconcile": check("reconcile"),
    "backup": check("backup", "production"),
    "drill": check("drill"),
    "privacy": check("privacy"),
}


@functools.cache
def _hashed() -> str:
    """One slow hash for all people of a test session."""
    return make_password("password")


class UserFactory(factory.django.DjangoModelFactory[User]):
    """A person without any role. The password is ``password``."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    name = factory.Sequence(lambda number: f"Person {number}")
    email = factory.Sequence(lambda number: f"person-{number}-{uuid4().hex[:6]}@gonogo.example")
    password = factory.LazyFunction(_hashed)


def make_application(*, slug: str = "", name: str = "", plan: Mapping[str, Any] | None = None) -> Application:
    """An application with a published plan; ``plan`` overrides top-level sections of MINIMAL_PLAN."""
    slug = slug or f"app-{next(_counter)}-{uuid4().hex[:6]}"
    application = applications.create_application(slug=slug, name=name or slug.capitalize(), actor=None)
    publish(application, plan)
    return application


def publish(application: Application, plan: Mapping[str, Any] | None = None) -> PlanVersion:
    """Publish a further version of the plan; ``plan`` overrides top-level sections of MINIMAL_PLAN."""
    tree = {**MINIMAL_PLAN, "application": application.slug, "title": application.name, **(plan or {})}
    parsed = Plan.model_validate(tree)
    document = to_document(parsed)
    return applications.publish_plan(
        application=application,
        text=json.dumps(tree, indent=2),
        document=document,
        digest=hashlib.sha256(rfc8785.dumps(document)).hexdigest(),
        sections=section_digests(parsed),
        author=None,
    )


class ApplicationFactory(factory.Factory[Application]):
    """``ApplicationFactory(plan={"checks": {...}})``; see ``make_application``."""

    class Meta:
        model = Application

    @classmethod
    def _create(cls, model_class: type[Application], *args: Any, **kwargs: Any) -> Application:
        return make_application(**kwargs)


def member(application: Application, role: Role, station: str = "", user: User | None = None) -> User:
    """A person with a role in the application."""
    user = user or UserFactory()
    Membership.objects.create(application=application, user=user, role=role, station=station)
    return user


@dataclass(frozen=True)
class Team:
    """One person for each role; ``approvers`` by station."""

    viewer: User
    auditor: User
    engineer: User
    manager: User
    administrator: User
    approvers: dict[str, User]

    @property
    def everybody(self) -> list[User]:
        return [
            self.viewer,
            self.auditor,
            self.engineer,
            self.manager,
            self.administrator,
            *self.approvers.values(),
        ]


def make_team(application: Application, stations: tuple[str, ...] = STATIONS) -> Team:
    roles = [Role.VIEWER, Role.AUDITOR, Role.ENGINEER, Role.RELEASE_MANAGER, Role.ADMINISTRATOR]
    places = [(role, "") for role in roles] + [(Role.APPROVER, station) for station in stations]
    people = User.objects.bulk_create(UserFactory.build_batch(len(places)))
    Membership.objects.bulk_create(
        Membership(application=application, user=person, role=role, station=station)
        for person, (role, station) in zip(people, places, strict=True)
    )
    return Team(*people[: len(roles)], approvers=dict(zip(stations, people[len(roles) :], strict=True)))


def make_release(
    *,
    application: Application | None = None,
    requester: User | None = None,
    version: str = "",
    build: bytes | None = None,
    rehearsing: bool = True,
    source: str = "staging",
    target: str = "production",
    **more: Any,
) -> Release:
    """A release made by the verb, its artifact really stored; rehearsing unless told otherwise."""
    application = application or make_application()
    requester = requester or member(application, Role.ENGINEER)
    number = next(_counter)
    places = {place.name: place for place in Environment.objects.filter(application=application)}
    release = releases.create_release(
        application=application,
        version=version or f"1.{number}",
        build_name=more.pop("build_name", f"build-{number}.txt"),
        build_file=io.BytesIO(build if build is not None else f"build {number} {uuid4()}".encode()),
        source_environment=places[source],
        target_environment=places[target],
        requester=requester,
        **more,
    )
    if rehearsing:
        releases.start_rehearsal(release=release, actor=requester)
    return release


def run_in_source(release: Release) -> None:
    """Let the release's build run where it is rehearsed, as a person attests it."""
    environments.adopt_build(
        environment=release.source_environment, version=release.version, build_digest=release.build_digest, actor=None,
        reason="Installed for a test.",
    )  # fmt: skip


class ReleaseFactory(factory.Factory[Release]):
    """``ReleaseFactory(application=..., requester=..., rehearsing=False)``; see ``make_release``."""

    class Meta:
        model = Release

    @classmethod
    def _create(cls, model_class: type[Release], *args: Any, **kwargs: Any) -> Release:
        return make_release(**kwargs)


def answer(
    item: ChecklistItem,
    *,
    verdict: str = EvidenceVerdict.PASSED,
    author: User | None = None,
    summary: str = "Looked at, and good.",
    about: Release | None = None,
    **more: Any,
) -> Evidence:
    """New evidence for one item, as its run, receipt or signer would give it, about the release's build and plan.

    ``about``: the item's release with its plan version, where the caller has it already.
    """
    release = about or Release.objects.select_related("plan_version", "application").get(pk=item.release_id)
    facts: dict[str, Any] = {
        "release": release,
        "build_digest": release.build_digest,
        "verdict": verdict,
        "summary": summary,
        "environment": item.environment,
    }
    if item.section:
        facts |= {
            "source": EvidenceSource.RUN,
            "kind": item.section.removeprefix("checks."),
            "section": item.section,
            "section_digest": release.plan_version.sections[item.section],
            "run_id": uuid4(),
            "run_number": next(_counter),
        }
    elif item.receipt:
        facts |= {"source": EvidenceSource.RECEIPT, "kind": item.receipt}
    else:
        facts |= {"source": EvidenceSource.SIGN_OFF, "kind": "sign-off", "item": item}
        facts["author"] = author or member(release.application, Role.ENGINEER)
    if item.attested:
        facts |= {"link": "https://evidence.example.org/7", "link_note": "The settings of the disks."}
        facts["valid_until"] = timezone.now() + timedelta(days=90)
    return evidence.record(**{**facts, **more})


def go_green(release: Release, *, author: User | None = None, without: tuple[str, ...] = ()) -> None:
    """Passing evidence for every item but those named in ``without``; signatures by one engineer who does not vote."""
    author = author or member(release.application, Role.ENGINEER)
    about = Release.objects.select_related("plan_version", "application").get(pk=release.pk)
    with transaction.atomic():
        for item in release.items.exclude(key__in=without).select_related("environment"):
            answer(item, author=author, about=about)
    release.state, release.state_since = about.state, about.state_since


def schedule(release: Release, manager: User, *, opens: datetime | None = None, hours: float = 4) -> None:
    """A window that is open already, unless told otherwise."""
    opens = opens or timezone.now() - timedelta(minutes=5)
    releases.schedule_window(release=release, opens=opens, closes=opens + timedelta(hours=hours), actor=manager)


def vote(release: Release, voter: User, station: str, choice: str = Choice.GO, comment: str = "") -> Any:
    """A vote over what stands now."""
    digest = gates.evaluate(Release.objects.get(pk=release.pk)).digest
    return approval.cast_vote(
        release=release, station=station, voter=voter, choice=choice, comment=comment, manifest_digest=digest
    )


def make_approved(
    release: Release, team: Team, *, opens: datetime | None = None, answered: tuple[str, ...] = ()
) -> Release:
    """Schedule, answer every item but those answered already, ask for votes, and let every station vote go."""
    if release.window_opens is None:
        schedule(release, team.manager, opens=opens)
    go_green(release, without=answered)
    releases.open_poll(release=release, actor=team.manager)
    digest = gates.evaluate(Release.objects.get(pk=release.pk)).digest
    for station, voter in team.approvers.items():
        approval.cast_vote(release=release, station=station, voter=voter, choice=Choice.GO, manifest_digest=digest)
    release.refresh_from_db()
    return release


def launched(release: Release, team: Team, state: str = "deploying") -> Release:
    """Approved and launched, and from there on to ``watching``, ``failed`` or ``unknown``."""
    make_approved(release, team)
    with transaction.atomic():
        releases.authorise_deploy(release=release, actor=team.manager)
    if state == "watching":
        releases.deploy_succeeded(release=release)
    elif state == "failed":
        releases.deploy_failed(release=release, reason="It did not start.")
    elif state == "unknown":
        releases.deploy_unknown(release=release)
    release.refresh_from_db()
    return release
