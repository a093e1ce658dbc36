"""Settings, addresses, servers and the local service runner of Go/No-Go."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
