"""Names of the queues that workers must serve."""

from typing import Any

from django.core.management.base import BaseCommand

from releases.models import Environment


class Command(BaseCommand):
    help = "Prints the queues of all environments, comma-separated, for `celery worker --queues`; always with default."

    def handle(self, *args: Any, **options: Any) -> None:
        queues = set(Environment.objects.values_list("queue", flat=True)) | {"default"}
        self.stdout.write(",".join(sorted(queues)))
