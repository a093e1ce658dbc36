"""What runs where, and the secrets that it needs."""

import re
from collections.abc import Callable

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from releases import permissions
from releases.domain import ledger
from releases.enums import ReleaseState, Role
from releases.errors import DomainError, StateChanged
from releases.models import Application, Environment, Release, Secret, User

SHORTEST_SECRET = 6
#: Says what changes an environment now ("Run #12 (rollback) is under way"), or nothing.
Occupant = Callable[[Environment], str]
_occupants: list[Occupant] = []
_DIGEST = re.compile(r"[0-9a-f]{64}")


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.FIELD_ENCRYPTION_KEYS])


@transaction.atomic
def set_secret(*, application: Application, name: str, value: str, actor: User | None) -> Secret:
    """Keep a value encrypted; it is never shown again. ``actor`` None: the program's own set-up.

    Values under six characters are refused: masking them would tear holes into every log.
    """
    if actor is not None:
        permissions.require(actor, application, Role.RELEASE_MANAGER, Role.ADMINISTRATOR)
    if len(value) < SHORTEST_SECRET:
        raise DomainError(
            f"A secret has at least {SHORTEST_SECRET} characters, since shorter ones cannot be masked in logs. "
            "Nothing was kept.",
            field="value",
        )
    secret, created = Secret.objects.update_or_create(
        application=application,
        name=name,
        defaults={"ciphertext": _fernet().encrypt(value.encode()), "updated_by": actor},
    )
    ledger.append(
        action="secret.set",
        actor=actor,
        subject=secret,
        application=application,
        document={"name": name, "replaced": not created},
    )
    return secret


def secret_value(*, application: Application, name: str) -> str:
    """The plain value, for the worker only. DomainError where there is none or the key is gone."""
    secret = Secret.objects.filter(application=application, name=name).first()
    if secret is None:
        raise DomainError(f"{application} has no secret called {name!r}. Set it on the application's page.")
    try:
        return _fernet().decrypt(bytes(secret.ciphertext)).decode()
    except InvalidToken:
        raise DomainError(
            f"The secret {name!r} of {application} was encrypted with a key that is not in FIELD_ENCRYPTION_KEYS. "
            "Add the old key there, or set the secret again."
        ) from None


@transaction.atomic
def adopt_build(
    *, environment: Environment, version: str, build_digest: str, actor: User | None, reason: str
) -> Environment:
    """A person attests what runs in an environment already, where the program did not put it there.

    For production by a release manager; elsewhere by an engineer as well. Refused while a deploy or rollback is under
    way there.
    """
    if actor is not None:
        engineers = () if environment.is_production else (Role.ENGINEER,)
        permissions.require(actor, environment.application, Role.RELEASE_MANAGER, *engineers)
    if not _DIGEST.fullmatch(build_digest):
        raise DomainError(
            "A build digest has 64 hexadecimal digits (0 to 9, a to f). Nothing was changed.", field="build_digest"
        )
    if not version.strip():
        raise DomainError("Name the version that runs there. Nothing was changed.", field="version")
    if not reason.strip():
        raise DomainError("Say how you know what runs there. Nothing was changed.", field="reason")
    _check_untouched(environment)
    known = Release.objects.filter(application=environment.application_id, build_digest=build_digest)
    release = known.order_by("-created_at").first()
    _set(environment, "environment.build_adopted", actor, release, version.strip(), build_digest, {"reason": reason})
    return environment


def register_occupant(occupant: Occupant) -> None:
    """Ask this as well before a person says what runs somewhere."""
    if occupant not in _occupants:
        _occupants.append(occupant)


def _check_untouched(environment: Environment) -> None:
    """Refuse while the program itself changes what runs there: it will say so, or that nobody knows."""
    # Held until the end of the transaction, as each change of what runs there holds it.
    Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
    deploying = Release.objects.filter(target_environment=environment, state=ReleaseState.DEPLOYING).first()
    found = [f"{deploying} is being deployed"] if deploying else []
    found += [sentence for occupant in _occupants if (sentence := occupant(environment))]
    if found:
        raise StateChanged(
            f"{found[0]} in {environment.name}, so nobody can say what runs there until that ends. Nothing was "
            "changed; wait for it, and look at what it says."
        )


@transaction.atomic
def build_changing(
    *, environment: Environment, run_number: int | None = None, actor: User | None = None
) -> Environment:
    """A deploy or rollback is about to touch the environment: until it ends, nobody can say what runs there."""
    _set(environment, "environment.build_changing", actor, None, "", "", {"run": run_number})
    return environment


@transaction.atomic
def build_running(
    *,
    environment: Environment,
    release: Release | None,
    version: str,
    build_digest: str,
    run_number: int | None = None,
    actor: User | None = None,
) -> Environment:
    """A deploy or rollback ended, and this build runs there now."""
    _set(environment, "environment.build_running", actor, release, version, build_digest, {"run": run_number})
    return environment


def _set(
    environment: Environment,
    action: str,
    actor: User | None,
    release: Release | None,
    version: str,
    digest: str,
    more: dict[str, object],
) -> None:
    # NO KEY: runs that point at the environment may be written meanwhile.
    locked = Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
    before = {"version": locked.current_version, "build_digest": locked.current_build_digest}
    since = timezone.now() if digest else None
    Environment.objects.filter(pk=environment.pk).update(
        current_release=release, current_version=version, current_build_digest=digest, current_since=since
    )
    environment.current_release, environment.current_version = release, version
    environment.current_build_digest, environment.current_since = digest, since
    ledger.append(
        action=action,
        actor=actor,
        subject=environment,
        application=environment.application,
        release=release,
        document={
            "environment": environment.name,
            "before": before,
            "after": {"version": version, "build_digest": digest},
            **more,
        },
    )
