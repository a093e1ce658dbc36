"""The API of releases."""

from datetime import datetime
from uuid import UUID

from django.http import HttpRequest
from ninja import Router, Schema

from releases.domain import gate as gates
from releases.enums import ReleaseState
from releases.models import Release
from releases.people import person
from releases.permissions import get_release_or_404, visible_releases

router = Router(tags=["Releases"])
MOST = 200


class BlockerOut(Schema):
    """One thing that keeps the gate closed. ``severity``: hold or no_go."""

    code: str
    title: str
    text: str
    severity: str


class ItemOut(Schema):
    """``attested``: who signs it gives evidence, a file or a link, and says how long it holds."""

    key: str
    title: str
    requirement: str
    state: str
    blocking: bool
    attested: bool
    reason: str
    section: str
    receipt: str
    environment: str | None
    valid_until: datetime | None


class ReleaseOut(Schema):
    """``verdict``: go, hold or no_go, computed at this moment; ``manifest_digest`` is what a vote is about."""

    id: UUID
    application: str
    version: str
    state: str
    build_digest: str
    plan_number: int
    source_environment: str
    target_environment: str
    requester: str
    window_opens: datetime | None
    window_closes: datetime | None
    live_at: datetime | None
    verdict: str
    manifest_digest: str
    blockers: list[BlockerOut]
    items: list[ItemOut] = []


def release_out(release: Release, gate: gates.Gate, *, items: bool) -> ReleaseOut:
    return ReleaseOut(
        id=release.pk,
        application=release.application.slug,
        version=release.version,
        state=release.state,
        build_digest=release.build_digest,
        plan_number=release.plan_version.number,
        source_environment=release.source_environment.name,
        target_environment=release.target_environment.name,
        requester=str(release.requester),
        window_opens=release.window_opens,
        window_closes=release.window_closes,
        live_at=release.live_at,
        verdict=gate.verdict.value,
        manifest_digest=gate.digest,
        blockers=[
            BlockerOut(code=each.code, title=each.title, text=each.text, severity=each.severity.value)
            for each in gate.blockers
        ],
        items=[
            ItemOut(
                key=status.item.key, title=status.item.title, requirement=status.item.requirement,
                state=status.state.value, blocking=status.item.blocking, attested=status.item.attested,
                reason=status.reason,
                section=status.item.section, receipt=status.item.receipt, valid_until=status.valid_until,
                environment=status.item.environment.name if status.item.environment else None,
            )
            for status in gate.items
        ] if items else [],
    )  # fmt: skip


@router.get("", response=list[ReleaseOut], operation_id="list_releases")
def list_releases(request: HttpRequest, state: str = "") -> list[ReleaseOut]:
    """The newest 200 releases you may see, each with its verdict of this moment."""
    found = visible_releases(person(request)).order_by("-created_at")
    if state in ReleaseState.values:
        found = found.filter(state=state)
    releases = list(found[:MOST])
    evaluated = gates.evaluate_many(releases)
    return [release_out(release, evaluated[release.pk], items=False) for release in releases]


@router.get("/{uuid:release_id}", response=ReleaseOut, operation_id="get_release")
def get_release(request: HttpRequest, release_id: UUID) -> ReleaseOut:
    """One release with its checklist."""
    release = get_release_or_404(person(request), release_id)
    return release_out(release, gates.evaluate(release), items=True)
