"""manage.py prober: ask every probe, watch new releases, send alerts."""

import asyncio
from typing import Any

from django.core.management.base import BaseCommand

from monitoring.prober import serve


class Command(BaseCommand):
    help = "Asks every probe on its interval, watches new releases and sends alerts, until it gets SIGTERM."

    def handle(self, *_args: Any, **_options: Any) -> None:
        asyncio.run(serve())
