"""Accounts: a person is invited, accepts, may be deactivated and come back.

Nobody is ever deleted: the ledger names people. Nobody chooses a password for somebody else either: an invitation is a
link that lets its owner choose one, once, for as long as PASSWORD_RESET_TIMEOUT says.
"""

from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from releases import permissions
from releases.domain import ledger
from releases.domain.membership import add_member, refresh_after, refuse_to_strand
from releases.domain.wording import listed
from releases.doorbell import ring_person
from releases.enums import ReleaseState, Role
from releases.errors import DomainError, NotAllowed
from releases.models import Application, Membership, Release, User
from releases.models.user import is_for_erased


class InvitationTokens(PasswordResetTokenGenerator):
    """Tokens that end with their first use, with the next invitation, and with the account's being deactivated."""

    key_salt = "releases.domain.user.invitation"

    def _make_hash_value(self, user: AbstractBaseUser, timestamp: int) -> str:
        assert isinstance(user, User)
        invited = user.invited_at.isoformat() if user.invited_at else ""
        return f"{super()._make_hash_value(user, timestamp)}{invited}{user.is_active}"

    def check_token(self, user: AbstractBaseUser | None, token: str | None) -> bool:
        """Whether the token opens this account now. Only somebody who waits to accept has one."""
        if not isinstance(user, User) or not user.is_active or not user.waits_to_accept:
            return False
        return super().check_token(user, token)


#: Whose word counts only while they have the role.
_DECIDERS: Final = (Role.ENGINEER, Role.APPROVER, Role.RELEASE_MANAGER)
invitation_tokens: Final = InvitationTokens()


@dataclass(frozen=True)
class Invitation:
    """``token`` lets its holder choose the password of ``user``; it is stored nowhere."""

    user: User
    token: str


@transaction.atomic
def invite_person(
    *, email: str, name: str, application: Application, role: Role, station: str = "", actor: User
) -> Invitation:
    """Make an account with a first role and without a password. The caller hands the link over."""
    email = User.objects.normalize_email(email.strip()).lower()
    taken = DomainError(
        f"There is an account with the address {email} already. Nothing was changed; give it a role on the page of "
        "the application.",
        field="email",
    )
    if not name.strip():
        raise DomainError("Say who it is. Nothing was changed.", field="name")
    if is_for_erased(email):
        raise DomainError("Addresses like this are those of erased accounts. Nothing was changed.", field="email")
    try:
        with transaction.atomic():
            user = User.objects.create_user(email, None, name=name.strip(), invited_at=timezone.now())
    except IntegrityError as error:
        raise taken from error
    _tell("user.invited", user, actor, {"email": email})
    add_member(application=application, user=user, role=role, station=station, actor=actor)
    return Invitation(user, invitation_tokens.make_token(user))


@transaction.atomic
def show_link(*, user: User, actor: User) -> None:
    """Keep in the ledger that the link of an invitation was shown to somebody other than its owner.

    Whoever has it can choose the password, and vote as that person.
    """
    _tell("user.link_shown", _lock(user), actor, {"email": user.email})


@transaction.atomic
def renew_invitation(*, user: User, actor: User) -> Invitation:
    """A new link for somebody who never accepted; links of before no longer work."""
    locked = _lock(user)
    require_manager_of(locked, actor)
    if not locked.is_active:
        raise DomainError(f"The account of {locked} is not active; reactivate it first. Nothing was changed.")
    if not locked.waits_to_accept:
        raise DomainError(f"{locked} has logged in already and needs no invitation. Nothing was changed.")
    locked.invited_at = timezone.now()
    locked.save(update_fields=["invited_at"])
    _tell("user.invited_again", locked, actor, {"email": locked.email})
    return Invitation(locked, invitation_tokens.make_token(locked))


@transaction.atomic
def accept_invitation(*, user: User, token: str, password: str) -> User:
    """Choose the password by the link of an invitation; a second use of the link is refused, also when raced."""
    locked = _lock(user)
    if not invitation_tokens.check_token(locked, token):
        raise DomainError(
            "This link was used already, was replaced by a newer one, or is too old. Nothing was changed; ask your "
            "administrator for a new one."
        )
    try:
        validate_password(password, locked)
    except ValidationError as error:
        raise DomainError(f"{' '.join(error.messages)} Nothing was changed.", field="new_password1") from error
    locked.set_password(password)
    locked.save(update_fields=["password"])
    _tell("user.accepted", locked, locked, {"email": locked.email})
    return locked


@transaction.atomic
def describe_oneself(*, person: User, name: str, time_zone: str) -> User:
    """Change one's own name or time zone; another name is told in the ledger, which knows people by it."""
    locked = _lock(person)
    if not locked.is_active:  # it ended while this waited
        raise NotAllowed("This account is not active any more. Nothing was changed.")
    if not name.strip():
        raise DomainError("Say who you are. Nothing was changed.", field="name")
    before = locked.name
    locked.name, locked.time_zone = name.strip(), time_zone
    locked.save(update_fields=["name", "time_zone"])
    if locked.name != before:
        _tell("user.renamed", locked, locked, {"before": before})
    return locked


@transaction.atomic
def deactivate(*, user: User, actor: User, reason: str) -> User:
    """End an account: its sessions and links at once, its votes count no longer. Roles stay, for when it comes back.

    Refused: one's own account, the last administrator of an application, and its only release manager while one of
    its releases is half-way.
    """
    charged = _in_charge_of(user)
    # The same lock as for taking a role away: two administrators cannot remove each other at once.
    applications = list(Application.objects.select_for_update(no_key=True).filter(pk__in=charged).order_by("pk"))
    locked = _lock(user)
    if set(_in_charge_of(user)) - {application.pk for application in applications}:
        raise DomainError(f"{locked} was given a role at this very moment. Nothing was changed; try again.")
    require_manager_of(locked, actor)
    if actor.pk == locked.pk:
        raise NotAllowed("Nobody deactivates themselves; ask another administrator. Nothing was changed.")
    if not reason.strip():
        raise DomainError("Say why the account ends. Nothing was changed.", field="reason")
    if not locked.is_active:
        raise DomainError(f"The account of {locked} is not active already. Nothing was changed.")
    _check_not_last(locked, applications)
    manages = Membership.objects.filter(user=locked, role=Role.RELEASE_MANAGER).values_list("application", flat=True)
    refuse_to_strand(locked, [application for application in applications if application.pk in set(manages)])
    locked.is_active = False
    locked.save(update_fields=["is_active"])
    _tell("user.deactivated", locked, actor, {"reason": reason.strip(), "sessions": _end_sessions(locked)})
    ring_person(locked.pk)
    refresh_after(_decided_in(locked))
    return locked


@transaction.atomic
def reactivate(*, user: User, actor: User) -> User:
    """Let somebody back in, with the roles they still have. Their votes that still hold count again."""
    locked = _lock(user)
    require_manager_of(locked, actor)
    if locked.is_active:
        raise DomainError(f"The account of {locked} is active already. Nothing was changed.")
    if locked.is_erased:
        raise DomainError("This account was erased, and nobody can have it back. Nothing was changed.")
    locked.is_active = True
    locked.save(update_fields=["is_active"])
    _tell("user.reactivated", locked, actor, {})
    refresh_after(_decided_in(locked))
    return locked


def require_manager_of(user: User, actor: User) -> None:
    """Raise NotAllowed unless ``actor`` may decide about this whole account.

    An account is one for all applications, so it takes an administrator of each in which the person has a role. Only
    who keeps this installation decides about another keeper.
    """
    actor = User.objects.get(pk=actor.pk)  # as it is now, not as it was when the page was opened
    if permissions.keeps_installation(actor):
        return
    mine = set(permissions.administered_applications(actor).values_list("pk", flat=True))
    if not mine:
        raise NotAllowed("This needs the role administrator in an application. Nothing was changed.")
    if user.is_superuser:
        raise NotAllowed(f"{user} keeps this installation; only another keeper may do this. Nothing was changed.")
    held = set(Membership.objects.filter(user=user).values_list("application", flat=True))
    if held - mine:
        raise NotAllowed(
            f"{user} also has roles in applications that you do not administer. Nothing was changed; take their roles "
            "in yours away, or ask who keeps this installation."
        )


def why_not_manage(user: User, actor: User) -> str:
    """Why ``actor`` may not decide about this account, for the page; empty when they may."""
    try:
        require_manager_of(user, actor)
    except NotAllowed as error:
        return error.message.replace(" Nothing was changed;", " So").replace(" Nothing was changed.", "")
    return ""


def _lock(user: User) -> User:
    return User.objects.select_for_update(no_key=True).get(pk=user.pk)


def _in_charge_of(user: User) -> QuerySet[Membership, int]:
    """Primary keys of the applications that may need this person."""
    held = Membership.objects.filter(user=user, role__in=(Role.ADMINISTRATOR, Role.RELEASE_MANAGER))
    return held.values_list("application", flat=True)


def _check_not_last(user: User, applications: list[Application]) -> None:
    administered = set(permissions.administered_applications(user))
    lonely = [
        application.name
        for application in applications
        if application in administered and not permissions.able_administrators(application).exclude(user=user).exists()
    ]
    if lonely:
        raise DomainError(
            f"{user} is the last administrator of {listed(lonely)} who can log in; name another one first. "
            "Nothing was changed."
        )


def _end_sessions(user: User) -> int:
    """Forget every session of this person, so that none comes back to life with the account."""
    mine = [
        session.pk
        for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator(chunk_size=500)
        if session.get_decoded().get(SESSION_KEY) == str(user.pk)
    ]
    Session.objects.filter(pk__in=mine).delete()
    return len(mine)


def _decided_in(user: User) -> QuerySet[Release]:
    """Releases that votes, waivers or accepted findings of this person may concern."""
    decides_in = Membership.objects.filter(user=user, role__in=_DECIDERS).values("application")
    return Release.objects.filter(
        application__in=decides_in, state__in=[ReleaseState.REHEARSING, ReleaseState.APPROVED]
    )


def _tell(action: str, user: User, actor: User, document: dict[str, Any]) -> None:
    ledger.append(action=action, actor=actor, subject=user, document={"name": user.name, **document})
