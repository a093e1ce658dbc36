"""`manage.py checkpoint_ledger`: signs a checkpoint now, as the scheduler does every minute."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from releases.domain import ledger
from releases.errors import LedgerBroken


class Command(BaseCommand):
    help = "Signs a checkpoint over all sealed entries and stores its copy. With --key, only prints the public key."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--key", action="store_true", help="print the public key (base64) and do nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["key"]:
            self.stdout.write(ledger.public_key_text())
            return
        try:
            newest = ledger.checkpoint()
        except LedgerBroken as error:
            raise CommandError(error.message) from error
        if newest is None:
            self.stdout.write("The ledger is empty; there is nothing to sign.")
            return
        self.stdout.write(f"The newest checkpoint covers {newest.size} entries, root {bytes(newest.root).hex()}.")
