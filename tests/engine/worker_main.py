"""What a forked worker of the tests does. Imported once by the fork server, then forked."""

import os
from typing import Any

import django
from django.apps import apps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
if not apps.ready:
    django.setup()

from checks import engine
from tests.engine import kinds as kinds


def work(run_id: str, settings: dict[str, Any]) -> None:
    """Do one attempt of a run with these settings."""
    from django.conf import settings as ours
    from django.db import connections

    connections.close_all()
    connections.databases["default"].update(settings.pop("DATABASE", {}))
    for name, value in settings.items():
        setattr(ours, name, value)
    engine.execute(run_id)
