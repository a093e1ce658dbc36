"""Answers for load balancers and the service runner."""

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from redis import Redis, RedisError


def alive(request: HttpRequest) -> JsonResponse:
    """Answer 200 while the process can serve requests; asks nothing of PostgreSQL or Redis."""
    return JsonResponse({"status": "alive"})


def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 when PostgreSQL and Redis answer, else 503 with the part that does not."""
    parts = {"postgresql": _postgresql(), "redis": _redis()}
    well = all(state == "ready" for state in parts.values())
    return JsonResponse({"status": "ready" if well else "not ready", "parts": parts}, status=200 if well else 503)


def _postgresql() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "does not answer"
    return "ready"


def _redis() -> str:
    try:
        with Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
            client.ping()
    except RedisError:
        return "does not answer"
    return "ready"
