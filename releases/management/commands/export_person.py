"""`manage.py export_person EMAIL`: everything that is kept of one person, at that person's request."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from releases.domain.person import everything_about
from releases.models import User
from releases.views.personal_data import csv_lines, json_lines


class Command(BaseCommand):
    help = "Writes everything that is kept of one person to standard output. It is noted in the ledger."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--format", choices=["json", "csv"], default="json")

    def handle(self, *args: Any, **options: Any) -> None:
        person = User.objects.filter(email__iexact=options["email"]).first()
        if person is None:
            raise CommandError(f"There is no account {options['email']}.")
        rows = everything_about(person=person, actor=None)
        for piece in csv_lines(rows) if options["format"] == "csv" else json_lines(rows):
            sys.stdout.write(piece.decode())
