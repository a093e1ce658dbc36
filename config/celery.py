"""The Celery application. Messages carry ids only; PostgreSQL holds every truth."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("gonogo")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def use_own_logging(**_options: Any) -> None:
    """Keep Celery from replacing the logging that settings.LOGGING has set up."""
    import logging.config

    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)


@worker_process_init.connect
def drop_inherited_connections(**_options: Any) -> None:
    """Give each forked process its own database connections."""
    from django.db import connections

    connections.close_all()
