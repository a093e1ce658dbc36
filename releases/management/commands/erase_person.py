"""`manage.py erase_person EMAIL --reason …`: erase one person's account, at that person's request or by a rule."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from releases.domain.person import erase
from releases.errors import DomainError
from releases.models import User


class Command(BaseCommand):
    help = "Makes an account a pseudonym, ends its roles and deletes what only served it. The ledger keeps its entries."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--reason", required=True, help="On whose wish, or by which rule; kept in the ledger.")

    def handle(self, *args: Any, **options: Any) -> None:
        person = User.objects.filter(email__iexact=options["email"]).first()
        if person is None:
            raise CommandError(f"There is no account {options['email']}. Nothing was changed.")
        try:
            erase(person=person, actor=None, reason=options["reason"])
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"Erased: the account is Erased person {person.pk} now.")
