"""What a forked worker of the tests does. Imported once by the fork server, then forked."""

import importlib
import os
import signal
from typing import Any

import django
from django.apps import apps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
if not apps.ready:
    django.setup()

from checks import engine
from tests.engine import kinds as kinds


def work(run_id: str, settings: dict[str, Any]) -> None:
    """Do one attempt of a run with these settings.

    DIE_AT "module:function" is where this process gets a KILL; CONSTANTS {"module:name": value} are set before it
    begins.
    """
    from django.conf import settings as ours
    from django.db import connections

    connections.close_all()
    connections.databases["default"].update(settings.pop("DATABASE", {}))
    if stage := settings.pop("DIE_AT", ""):
        _die_at(stage)
    for place, value in settings.pop("CONSTANTS", {}).items():
        module, _, constant = place.partition(":")
        setattr(importlib.import_module(module), constant, value)
    for name, value in settings.items():
        setattr(ours, name, value)
    engine.execute(run_id)


def _die_at(stage: str) -> None:
    """The function is called, and this process is no more: no handler, no finally, no goodbye."""
    module, _, function = stage.partition(":")

    def die(*_arguments: Any, **_named: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(importlib.import_module(module), function, die)
