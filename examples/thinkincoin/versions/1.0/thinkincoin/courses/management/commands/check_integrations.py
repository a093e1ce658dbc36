from typing import Any

from django.conf import settings
from django.core.mail import get_connection
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection


class Command(BaseCommand):
    help = "Prove that what stands around this site can be reached: the database's version and the mail server."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("check", databases=["default"])
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            self.stdout.write(f"PostgreSQL {cursor.fetchone()[0]} answers.")
        call_command("clearsessions")
        self.stdout.write("Sessions that had ended were removed.")
        self.check_mail()

    def check_mail(self) -> None:
        if not settings.EMAIL_HOST:
            self.stdout.write("No mail server is named in EMAIL_HOST; mail goes to the log. Nothing was tested.")
            return
        try:
            mail = get_connection(timeout=10)
            mail.open()
            mail.close()
        except OSError as error:
            raise CommandError(f"The mail server {settings.EMAIL_HOST} does not answer: {error}") from error
        self.stdout.write(f"The mail server {settings.EMAIL_HOST} answers.")
