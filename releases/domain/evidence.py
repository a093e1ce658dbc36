"""Evidence comes in: from runs, from receipts, and from people who sign."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import IO, Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from releases import permissions
from releases.domain import ledger
from releases.domain.approval import follow
from releases.domain.items import has_cases
from releases.domain.transition import lock, refusal
from releases.doorbell import ring_release
from releases.enums import EvidenceSource, EvidenceVerdict, ReleaseState, Role
from releases.errors import DomainError, StateChanged
from releases.models import ChecklistItem, Environment, Evidence, Release, User

MAX_ATTACHMENT_BYTES = 50 * 1024**2
MAX_STATEMENT = 500
MAX_LINK = 1000
#: An attestation is looked at anew at least once a year.
LONGEST_ATTESTATION = timedelta(days=366)
#: States of a release in which people may still answer.
SIGNABLE = (
    ReleaseState.DRAFT,
    ReleaseState.REHEARSING,
    ReleaseState.APPROVED,
    ReleaseState.ROLLED_BACK,
    ReleaseState.FAILED,
)


def record(
    *,
    release: Release,
    source: str,
    kind: str,
    section: str = "",
    section_digest: str = "",
    environment: Environment | None = None,
    build_digest: str,
    verdict: str,
    summary: str,
    figures: Mapping[str, Any] | None = None,
    artifacts: Sequence[Mapping[str, Any]] = (),
    run_id: UUID | None = None,
    run_number: int | None = None,
    valid_until: datetime | None = None,
    item: ChecklistItem | None = None,
    author: User | None = None,
    link: str = "",
    link_note: str = "",
) -> Evidence:
    """Keep one answer for ever, write the ledger, and let the state of the release follow the gate.

    Makes no judgement: whether the answer counts is computed at each reading. ``valid_until`` None: for this release.
    Raises DomainError for a second piece of evidence of the same run.
    """
    try:
        with transaction.atomic():
            locked = lock(release)
            evidence = Evidence.objects.create(
                release=locked,
                item=item,
                source=EvidenceSource(source),
                kind=kind,
                section=section,
                section_digest=section_digest,
                environment=environment,
                build_digest=build_digest,
                verdict=EvidenceVerdict(verdict),
                summary=summary[:MAX_STATEMENT],
                figures=dict(figures or {}),
                artifacts=[dict(artifact) for artifact in artifacts],
                run_id=run_id,
                run_number=run_number,
                author=author,
                recorded_at=Now(),  # by the database's clock: workers' own may differ, and the newest counts
                valid_until=valid_until,
                link=link,
                link_note=link_note,
            )
            evidence.refresh_from_db(fields=["recorded_at"])
            _write_ledger(locked, evidence)
            ring_release(locked.pk, "evidence")
            follow(locked)
    except IntegrityError as error:
        if "run_id" not in str(error):
            raise
        raise DomainError("This run has given its evidence already. Nothing was recorded.") from error
    release.state, release.state_since = locked.state, locked.state_since
    return evidence


def _write_ledger(release: Release, evidence: Evidence) -> None:
    ledger.append(
        action="evidence.recorded",
        actor=evidence.author,
        subject=evidence,
        application=release.application,
        release=release,
        document={
            "source": evidence.source,
            "kind": evidence.kind,
            "section": evidence.section,
            "section_digest": evidence.section_digest,
            "item": evidence.item.key if evidence.item else None,
            "environment": evidence.environment.name if evidence.environment else None,
            "build_digest": evidence.build_digest,
            "verdict": evidence.verdict,
            "summary": evidence.summary,
            "run": str(evidence.run_id) if evidence.run_id else None,
            "run_number": evidence.run_number,
            "valid_until": evidence.valid_until.isoformat() if evidence.valid_until else None,
            "artifacts": [{"name": each["name"], "sha256": each["sha256"]} for each in evidence.artifacts],
            **({"link": evidence.link, "link_note": evidence.link_note} if evidence.link else {}),
        },
    )


def sign_off(
    *,
    item: ChecklistItem,
    author: User,
    statement: str,
    passed: bool = True,
    attachment: tuple[str, IO[bytes]] | None = None,
    link: str = "",
    link_note: str = "",
    valid_until: datetime | None = None,
) -> Evidence:
    """A person answers an item, for this build. ``attachment``: (file name, bytes), at most 50 MB.

    ``link``: where evidence lies that is kept elsewhere, and ``link_note`` what it shows. ``valid_until`` None: for
    this release. An attested item that holds needs an attachment or a link, and an end.
    The author of a sign-off that counts cannot vote on the release.
    """
    release = Release.objects.select_related("application", "plan_version").get(pk=item.release_id)
    permissions.require(author, release.application, Role.ENGINEER, Role.APPROVER, Role.RELEASE_MANAGER)
    _refuse_unsigned(release, item)
    _refuse_statement(statement)
    link, link_note = link.strip(), link_note.strip()
    _refuse_link(link, link_note)
    _refuse_end(valid_until)
    if item.attested and passed:
        _refuse_bare(attachment is not None or bool(link), valid_until)
    if release.state not in SIGNABLE:
        raise StateChanged(refusal(release.state, SIGNABLE))
    artifacts = [_keep_attachment(release, *attachment)] if attachment else []
    return record(
        release=release,
        source=EvidenceSource.SIGN_OFF,
        kind="sign-off",
        build_digest=release.build_digest,
        verdict=EvidenceVerdict.PASSED if passed else EvidenceVerdict.FAILED,
        summary=statement.strip(),
        artifacts=artifacts,
        item=item,
        author=author,
        link=link,
        link_note=link_note if link else "",
        valid_until=valid_until,
    )


def _refuse_unsigned(release: Release, item: ChecklistItem) -> None:
    """Refuse an item that something else than a signature answers."""
    if item.section or item.receipt:
        what = f"the run of {item.section}" if item.section else f"the receipt of a {item.receipt}"
        raise DomainError(f"“{item.title}” is answered by {what}, not by a signature. Nothing was recorded.")
    if has_cases(release, item):
        raise DomainError(f"“{item.title}” is answered by walking the plan's acceptance cases. Nothing was recorded.")


def _refuse_statement(statement: str) -> None:
    if not statement.strip():
        raise DomainError("Say what you looked at and found. Nothing was recorded.", field="statement")
    if len(statement.strip()) > MAX_STATEMENT:
        raise DomainError(
            f"The statement is longer than {MAX_STATEMENT} characters. Nothing was recorded; attach the long form.",
            field="statement",
        )


def _refuse_link(link: str, note: str) -> None:
    if not link:
        if note:
            raise DomainError("A note about a link needs the link. Nothing was recorded.", field="link")
        return
    try:
        parts = urlsplit(link)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or len(link) > MAX_LINK:
        raise DomainError(
            f"The link is no address that begins with https:// or http://, of at most {MAX_LINK} characters."
            " Nothing was recorded.",
            field="link",
        )
    if parts.username or parts.password:
        raise DomainError(
            "The link holds a name or a password, and it would be kept for ever. Nothing was recorded.", field="link"
        )
    if not note:
        raise DomainError("Say what the link shows. Nothing was recorded.", field="link_note")
    if len(note) > MAX_STATEMENT:
        raise DomainError(
            f"The note is longer than {MAX_STATEMENT} characters. Nothing was recorded.", field="link_note"
        )


def _refuse_end(valid_until: datetime | None) -> None:
    now = timezone.now()
    if valid_until is not None and not now < valid_until <= now + LONGEST_ATTESTATION:
        raise DomainError(
            f"What is signed holds until a moment in the future, and at most {LONGEST_ATTESTATION.days} days from now."
            " Nothing was recorded.",
            field="valid_until",
        )


def _refuse_bare(has_evidence: bool, valid_until: datetime | None) -> None:
    """Refuse a signature of an attested item that brings no evidence or has no end."""
    if not has_evidence:
        raise DomainError(
            "This item is attested: attach the evidence, or link to it and say what it shows. Nothing was recorded.",
            field="attachment",
        )
    if valid_until is None:
        raise DomainError(
            "This item is attested: say until when that holds. Nothing was recorded.", field="valid_until"
        )


def _keep_attachment(release: Release, name: str, content: IO[bytes]) -> dict[str, Any]:
    hasher, size = hashlib.sha256(), 0
    while chunk := content.read(1024 * 1024):
        hasher.update(chunk)
        size += len(chunk)
        if size > MAX_ATTACHMENT_BYTES:
            raise DomainError("The attachment is larger than 50 MB. Nothing was recorded.", field="attachment")
    content.seek(0)
    safe = PurePath(name).name or "attachment"
    key = default_storage.save(f"sign-offs/{release.pk}/{uuid4()}/{safe}", File(content))
    return {"name": safe, "key": key, "size": size, "sha256": hasher.hexdigest()}
