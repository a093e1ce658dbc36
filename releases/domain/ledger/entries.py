"""Appending to the ledger."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import rfc8785
from django.contrib.auth.models import AnonymousUser
from django.db import connection, models

from releases import request_id
from releases.domain.canonical import plain
from releases.errors import LedgerMisuse
from releases.models.application import Application
from releases.models.release import Release
from releases.models.user import User

# Who acted when nobody did: schedules, workers, the watch after a deploy.
PROGRAM = "Go/No-Go"
FORMAT_VERSION = 1


def append(
    *,
    action: str,
    actor: User | AnonymousUser | None,
    subject: models.Model | None = None,
    subject_type: str = "",
    subject_id: str = "",
    application: Application | int | None = None,
    release: Release | UUID | None = None,
    document: Mapping[str, Any],
) -> None:
    """Writes one entry in the caller's transaction; it is sealed when that commits, or vanishes with it.

    `action` is a dotted text such as "release.approved". `subject` gives its own type and id. `application` and
    `release` may be left out where the subject has them. `document` holds before, after and details, in types that
    `canonical.plain` knows. LedgerMisuse: called outside of a transaction, or with what the ledger cannot hold.
    """
    if not connection.in_atomic_block:
        raise LedgerMisuse("The ledger is written inside transaction.atomic() only, together with what it tells.")
    if not action or action != action.strip().lower() or "." not in action:
        raise LedgerMisuse(f"{action!r} is not an action; it is a dotted text such as 'release.approved'.")
    if subject is not None:
        subject_type = subject_type or subject._meta.model_name or ""
        subject_id = subject_id or str(subject.pk)
    person = actor if isinstance(actor, User) else None
    application_id, release_id = _where(subject, application, release)
    facts = {
        "action": action,
        "actor_id": person.pk if person else None,
        "actor_name": _name(person),
        "application_id": application_id,
        "document": dict(document),
        "release_id": release_id,
        "request_id": request_id.current(),
        "subject_id": subject_id,
        "subject_type": subject_type,
        "v": FORMAT_VERSION,
    }
    before_at, after_at = _cut_at(plain(facts))
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_append(%s, %s)", [before_at, after_at])


def seal_now() -> None:
    """Seals what the open transaction has appended, without waiting for its commit.

    For tests, whose transaction never commits. It holds the lock of the ledger until the transaction ends.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ledger_ask_for_seal, ledger_seal IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ledger_ask_for_seal, ledger_seal DEFERRED")


def _cut_at(facts: dict[str, Any]) -> tuple[str, str]:
    """The canonical JSON cut where the key "at" belongs; the database puts its own time there."""
    before = rfc8785.dumps({key: value for key, value in facts.items() if key < "at"})
    after = rfc8785.dumps({key: value for key, value in facts.items() if key > "at"})
    return before[:-1].decode(), after[1:].decode()


def _name(person: User | None) -> str:
    """The name that outlives the account: two people of one name differ by their address."""
    return f"{person.name} <{person.email}>" if person else PROGRAM


def _where(
    subject: models.Model | None, application: Application | int | None, release: Release | UUID | None
) -> tuple[int | None, UUID | None]:
    """The application and the release that an entry belongs to, from the subject where they were left out."""
    if release is None:
        release = subject if isinstance(subject, Release) else getattr(subject, "release_id", None)
    if application is None:
        application = subject if isinstance(subject, Application) else getattr(subject, "application_id", None)
    if isinstance(release, Release):
        application = release.application_id if application is None else application
        release = release.pk
    application_id = application.pk if isinstance(application, Application) else application
    return application_id, release
