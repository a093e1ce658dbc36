"""Keys for programs that send reports: issued by a person, shown once, revoked by a person."""

import hashlib
import secrets
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from releases import permissions
from releases.domain import ledger
from releases.enums import Role
from releases.errors import DomainError
from releases.models import Application, ReportToken, User

PREFIX: Final = "gonogo_"
LONGEST: Final = timedelta(days=366)
_ISSUERS: Final = (Role.ENGINEER, Role.RELEASE_MANAGER)


def _digest(key: str) -> str:
    # 256 random bits need no slow hash: nobody guesses them.
    return hashlib.sha256(key.encode()).hexdigest()


@transaction.atomic
def issue_token(*, application: Application, name: str, valid_for: timedelta, actor: User) -> tuple[ReportToken, str]:
    """A new key of an engineer or release manager for this application: (its row, the key). Nobody sees it again."""
    permissions.require(actor, application, *_ISSUERS)
    if not name.strip():
        raise DomainError("Say which program gets the key. Nothing was issued.", field="name")
    if not timedelta(0) < valid_for <= LONGEST:
        raise DomainError("A key is valid for one day to one year. Nothing was issued.", field="days")
    key = PREFIX + secrets.token_urlsafe(32)
    now = timezone.now()
    token = ReportToken.objects.create(
        application=application,
        name=name.strip(),
        digest=_digest(key),
        owner=actor,
        created_at=now,
        expires_at=now + valid_for,
    )
    document = {"name": token.name, "expires_at": token.expires_at.isoformat()}
    ledger.append(action="token.issued", actor=actor, subject=token, application=application, document=document)
    return token, key


@transaction.atomic
def revoke_token(*, token: ReportToken, actor: User) -> ReportToken:
    """By its owner, a release manager or an administrator. A revoked key stays so."""
    roles = (Role.RELEASE_MANAGER, Role.ADMINISTRATOR)
    if token.owner_id != actor.pk:
        permissions.require(actor, token.application, *roles)
    locked = ReportToken.objects.select_for_update().get(pk=token.pk)
    if locked.revoked_at is None:
        locked.revoked_at, locked.revoked_by = timezone.now(), actor
        locked.save(update_fields=["revoked_at", "revoked_by"])
        ledger.append(
            action="token.revoked", actor=actor, subject=locked, application=token.application,
            document={"name": locked.name},
        )  # fmt: skip
    return locked


def token_of(key: str) -> ReportToken | None:
    """The valid token that this key belongs to, its use noted; None for every other key."""
    if not key.startswith(PREFIX) or len(key) > 200:
        return None
    found = ReportToken.objects.filter(digest=_digest(key)).select_related("application", "owner").first()
    if found is None or found.state != "valid" or not found.owner.is_active:
        return None
    ReportToken.objects.filter(pk=found.pk).update(used_at=timezone.now())
    return found
