"""A person's own data: everything that is kept of one person, and its erasure.

The account becomes a pseudonym and stays as a row, because votes, evidence and waivers point at it; what only served
the person goes. Entries of the ledger are sealed and stay as they are: docs/decisions/erasure-keeps-the-ledger.md.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.sessions.models import Session
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from releases.domain import ledger
from releases.domain.membership import remove_member
from releases.errors import DomainError
from releases.models import Application, LedgerEntry, Membership, User

#: Rows that only serve the person: (model, field that holds the account or its e-mail address).
_OWN: Final = (
    ("account.EmailAddress", "user"),
    ("mfa.Authenticator", "user"),
    ("socialaccount.SocialAccount", "user"),
    ("axes.AccessAttempt", "username__iexact"),
    ("axes.AccessFailureLog", "username__iexact"),
    ("axes.AccessLog", "username__iexact"),
)
#: Never shown to anybody, not even to the person: who has them can act as that person.
_SECRET: Final = frozenset(
    {"password", "data", "token", "token_secret", "ciphertext", "session_data", "key", "receipt_code"}
)
#: Long texts that say nothing about the person who wrote them; that of a test alert holds the link that confirms it.
_WORKS: Final = frozenset({
    ("planversion", "text"), ("planversion", "document"), ("planversion", "sections"), ("run", "result"),
    ("run", "progress"), ("ledgerverification", "walk"), ("alert", "body"),
})  # fmt: skip
#: Kept as they are; every other value is written as its text.
_AS_IT_IS: Final = (
    models.BooleanField, models.IntegerField, models.FloatField, models.JSONField, ArrayField,
)  # fmt: skip
#: What may stand before an address that is whole, and after it: neither is a part of a longer one. In JSON a new line
#: before it is written with a letter.
_BORDERS: Final = (r"((?<![\w.!#$%&'*+/=?^`{|}~-])|(?<=\\[nrtbf]))", r"(?![\w-]|\.\w)")


@dataclass(frozen=True)
class Kept:
    """One row that is about a person. ``source``: its table in words; ``as_what``: as what the person stands there."""

    source: str
    record: str
    as_what: str
    values: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {"source": self.source, "record": self.record, "as": self.as_what, "values": self.values}


def everything_about(*, person: User, actor: User | None) -> Iterator[Kept]:
    """Every row about one person, the ledger's entries last; secrets are left out. Writes that it was exported.

    ``actor`` None: an operator of this installation, at the request of the person.
    """
    with transaction.atomic():
        ledger.append(action="person.exported", actor=actor, subject=person, document={"person": person.pk})
    return _rows(person)


def _rows(person: User) -> Iterator[Kept]:
    yield _kept(person, "the account")
    for session in _sessions(person):
        yield Kept("session", "", "logged in", {"expire_date": session.expire_date.isoformat()})
    for label, field in _OWN:
        for row in _own(label, field, person).order_by("pk"):
            yield _kept(row, "the account")
    for model, fields in _models_of_people():
        for name in fields:
            for row in model._default_manager.filter(**{name: person}).order_by("pk").iterator():
                yield _kept(row, name)
    for entry in entries_about(person).order_by("sequence").iterator():
        values = {"at": entry.at.isoformat(), "action": entry.action, "actor_name": entry.actor_name}
        yield Kept("ledger entry", str(entry.sequence), "named", {**values, "document": entry.document})


def entries_about(person: User) -> "models.QuerySet[LedgerEntry]":
    """Entries of what the person did, of what was done with the account, and those that hold its e-mail address."""
    return LedgerEntry.objects.filter(
        Q(actor_id=person.pk)
        | Q(subject_type="user", subject_id=str(person.pk))
        | Q(document__user=person.pk)
        | Q(document__iregex=re.escape(person.email).join(_BORDERS))
    )


@transaction.atomic
def erase(*, person: User, actor: User | None, reason: str) -> None:
    """Make the account a pseudonym that nobody can log in with, take its roles, and delete what only served it.

    Roles go by ``remove_member``: votes that are no longer backed by a role do not count. Written to the ledger without
    the name. ``actor`` None: an operator of this installation. DomainError: the last administrator of an application,
    an account that is erased already, a missing reason; nothing is changed then.
    """
    if not reason.strip():
        raise DomainError("Say on whose wish, or by which rule. Nothing was changed.", field="reason")
    # Applications before the account, as everybody who ends an account or gives a role locks them.
    held = Membership.objects.filter(user=person).values("application")
    list(Application.objects.select_for_update(no_key=True).filter(pk__in=held).order_by("pk"))
    locked = User.objects.select_for_update(no_key=True).get(pk=person.pk)
    if locked.is_erased:
        raise DomainError("This account was erased already. Nothing was changed.")
    kept = entries_about(locked).count()
    _overwrite_alerts(locked)
    _forget_what_served_it(locked)
    _become_a_pseudonym(locked)
    # Only now, so that what is written of the roles names the pseudonym.
    for membership in locked.memberships.select_related("application", "user").order_by("application_id", "pk"):
        remove_member(membership=membership, actor=None)
    ledger.append(
        action="person.erased",
        # Whoever erases themselves is the pseudonym from now on.
        actor=locked if actor is not None and actor.pk == locked.pk else actor,
        subject=locked,
        document={"person": locked.pk, "reason": reason.strip(), "ledger_entries_kept": kept},
    )


def _forget_what_served_it(person: User) -> None:
    for session in _sessions(person):
        session.delete()
    for label, field in _OWN:
        _own(label, field, person).delete()
    # The administration pages note what an object was called when it was changed.
    log = apps.get_model("admin.LogEntry")._default_manager
    about = {"content_type__app_label": "releases", "content_type__model": "user", "object_id": str(person.pk)}
    log.filter(**about).update(object_repr=pseudonym(person), change_message="")
    person.groups.clear()
    person.user_permissions.clear()


def _overwrite_alerts(person: User) -> None:
    """Let alerts that name the person name the pseudonym; what was delivered already is out of reach."""
    alerts = apps.get_model("monitoring.Alert")._default_manager
    whole = [rf"(?<!\w){re.escape(person.name)}(?!\w)"] if person.name else []
    # A name may be a word as well: only as it is written.
    pattern = re.compile("|".join([*whole, f"(?i:{re.escape(person.email).join(_BORDERS)})"]))
    told = Q(body__icontains=person.email) | Q(subject__icontains=person.email)
    if person.name:
        told |= Q(body__contains=person.name) | Q(subject__contains=person.name)
    for alert in alerts.filter(told).iterator():
        subject, body = (pattern.sub(pseudonym(person), text) for text in (alert.subject, alert.body))
        alerts.filter(pk=alert.pk).update(subject=subject[:200], body=body)


def _become_a_pseudonym(person: User) -> None:
    person.name, person.email = pseudonym(person), person.erased_email
    person.is_active = person.is_staff = person.is_superuser = False
    person.last_login, person.invited_at, person.time_zone = None, None, "UTC"
    person.set_unusable_password()
    person.save()


def pseudonym(person: User) -> str:
    """What an erased account is called."""
    return f"Erased person {person.pk}"


def _sessions(person: User) -> Iterator[Session]:
    for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator():
        if str(session.get_decoded().get("_auth_user_id")) == str(person.pk):
            yield session


def _own(label: str, field: str, person: User) -> "models.QuerySet[models.Model]":
    value: Any = person if field == "user" else person.email
    rows: models.QuerySet[models.Model] = apps.get_model(label)._default_manager.filter(**{field: value})
    return rows


def _models_of_people() -> Iterator[tuple[type[models.Model], list[str]]]:
    """Every table that points at people, with the columns that do; the ledger and what ``_OWN`` names excepted."""
    own = {label.lower() for label, _ in _OWN}
    for model in apps.get_models():
        if model is LedgerEntry or model is User or model._meta.label_lower in own:
            continue
        fields = [
            field.name
            for field in model._meta.concrete_fields
            if isinstance(field, models.ForeignKey) and field.remote_field.model is apps.get_model(_USER)
        ]
        if fields:
            yield model, fields


_USER: Final = settings.AUTH_USER_MODEL


def _kept(row: models.Model, as_what: str) -> Kept:
    values: dict[str, Any] = {}
    for field in row._meta.concrete_fields:
        if field.name in _SECRET or (row._meta.model_name, field.name) in _WORKS:
            continue
        if isinstance(field, models.BinaryField):
            continue
        if isinstance(field, models.ForeignKey):
            values[field.name] = _named(row, field)
            continue
        value = field.value_from_object(row)
        values[field.name] = value if value is None or isinstance(field, _AS_IT_IS) else str(value)
    return Kept(str(row._meta.verbose_name), str(row.pk), as_what, values)


def _named(row: models.Model, field: "models.ForeignKey[Any, Any]") -> dict[str, str] | None:
    """What a row is about: its id and what it is called. Of other people the id alone, for their names are theirs."""
    key = getattr(row, field.attname)
    if key is None:
        return None
    if field.remote_field.model is apps.get_model(_USER):
        return {"id": str(key)}
    return {"id": str(key), "name": str(getattr(row, field.name))}
