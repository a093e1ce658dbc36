"""Load the default workspace: the example applications with their plans, and one person for each role."""

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from checks.errors import PlanError
from checks.examples import WrongPort, example_plan
from checks.publishing import publish
from releases.domain import application as applications
from releases.domain import ledger
from releases.enums import Role
from releases.errors import DomainError
from releases.models import Application, LedgerEntry, Membership, User

EXAMPLES = {"thinkincoin": "ThinkInCoin", "pretalx": "pretalx"}
DOMAIN = "gonogo.example"
#: Name before the @ -> (name on screen, role, station).
PEOPLE: dict[str, tuple[str, Role, str]] = {
    "viewer": ("Vera Viewer", Role.VIEWER, ""),
    "auditor": ("Aude Auditor", Role.AUDITOR, ""),
    "engineer": ("Enno Engineer", Role.ENGINEER, ""),
    "release-management": ("Rhea Release Management", Role.APPROVER, "release-management"),
    "engineering": ("Egon Engineering", Role.APPROVER, "engineering"),
    "security": ("Sefa Security", Role.APPROVER, "security"),
    "manager": ("Mara Manager", Role.RELEASE_MANAGER, ""),
    "administrator": ("Ada Administrator", Role.ADMINISTRATOR, ""),
}


class Command(BaseCommand):
    help = "Loads the example applications and one person for each role. Safe to run at each start."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--passwords-file", type=Path, required=True, help="Where the passwords are kept (0600).")
        parser.add_argument("--examples", type=Path, default=Path(settings.BASE_DIR) / "examples")

    def handle(self, *args: Any, **options: Any) -> None:
        passwords = _passwords(Path(options["passwords_file"]))
        people = [(_person(name, passwords), *PEOPLE[name][1:]) for name in PEOPLE]
        for slug, name in EXAMPLES.items():
            folder = options["examples"].absolute() / slug
            if (folder / "plan.yaml").is_file():
                self._load(slug, name, folder, people)

    def _load(self, slug: str, name: str, folder: Path, people: list[tuple[User, Role, str]]) -> None:
        application = _application(slug, name, folder)
        try:
            text = example_plan(folder, os.environ)
        except WrongPort as error:
            raise CommandError(f"{error} The plan of {slug} was not published.") from error
        digest = hashlib.sha256(text.encode()).hexdigest()
        try:
            # A file that was published once stays behind a version that a person published since.
            if not application.plan_versions.filter(digest=digest).exists():
                publish(application=application, text=text, author=None)
        except PlanError as error:
            self.stderr.write(f"{folder / 'plan.yaml'} is not a valid plan and was not published: {error}")
        except DomainError as error:
            if not application.plan_versions.exists():
                raise CommandError(f"The plan of {slug} could not be published: {error.message}") from error
        for user, role, station in people:
            if user.is_active and not _was_given(application, user, role, station):
                applications.add_member(application=application, user=user, role=role, station=station, actor=None)


def _was_given(application: Application, user: User, role: Role, station: str) -> bool:
    """Whether this person has the role, or had it: what an administrator took away is not given again."""
    if Membership.objects.filter(application=application, user=user, role=role, station=station).exists():
        return True
    given = LedgerEntry.objects.filter(application_id=application.pk, action="member.added")
    return given.filter(document__user=user.pk, document__role=role, document__station=station).exists()


def _application(slug: str, name: str, folder: Path) -> Application:
    application = Application.objects.filter(slug=slug).first()
    if application is None:
        return applications.create_application(slug=slug, name=name, plan_folder=str(folder), actor=None)
    # Somebody may have put its files elsewhere; they are looked for here again only where they are gone from there.
    if application.plan_folder != str(folder) and not Path(application.plan_folder or folder / "-").is_dir():
        applications.move_plan_folder(application=application, folder=str(folder), actor=None)
    return application


def _person(name: str, passwords: dict[str, str]) -> User:
    """The account, made with its kept password where it is missing; an existing one is left as it is."""
    email = f"{name}@{DOMAIN}"
    user = User.objects.filter(email=email).first()
    if user is not None:
        return user
    with transaction.atomic():
        user = User.objects.create_user(email, passwords[email], name=PEOPLE[name][0])
        ledger.append(action="user.created", actor=None, subject=user, document={"email": email})
    return user


def _passwords(path: Path) -> dict[str, str]:
    """The kept passwords, those of missing accounts made now and written before any account is."""
    try:
        kept: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {error}. Mend or remove it.") from error
    emails = [f"{name}@{DOMAIN}" for name in PEOPLE]
    present = set(User.objects.filter(email__in=emails).values_list("email", flat=True))
    missing = [email for email in emails if email not in kept and email not in present]
    if missing:
        kept |= {email: secrets.token_urlsafe(12) for email in missing}
        _write(path, kept)
    return kept


def _write(path: Path, passwords: dict[str, str]) -> None:
    """Replace the file as a whole; only its owner may ever read it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(passwords, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise CommandError(f"The passwords cannot be kept in {path}: {error}.") from error
