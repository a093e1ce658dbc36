"""Redis as a doorbell: tells pages that something changed. PostgreSQL holds what; a lost ring loses nothing."""

import functools
import json
import logging
from typing import Any
from uuid import UUID

import redis
from django.conf import settings
from django.db import transaction

logger = logging.getLogger(__name__)


@functools.cache
def _client() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=1, health_check_interval=15
    )


def release_channel(release_id: UUID | str) -> str:
    return f"gonogo:release:{release_id}"


def person_channel(user_id: int) -> str:
    """Rung when a person may see less than before."""
    return f"gonogo:person:{user_id}"


def publish(channel: str, message: dict[str, Any]) -> bool:
    """Ring now. False where Redis did not hear; watchers then find out from PostgreSQL."""
    try:
        _client().publish(channel, json.dumps(message, separators=(",", ":")))
    except redis.RedisError as error:
        logger.warning("doorbell.unheard", extra={"channel": channel, "error": str(error)})
        return False
    return True


def ring_release(release_id: UUID | str | None, topic: str) -> None:
    """After the commit, tell everybody who looks at this release. ``topic``: run, evidence, vote, state, risk..."""
    if release_id is None:
        return
    channel = release_channel(release_id)
    transaction.on_commit(lambda: publish(channel, {"topic": topic}) and None, robust=True)


def ring_person(user_id: int) -> None:
    """After the commit, let the streams that this person follows ask whether they still may."""
    channel = person_channel(user_id)
    transaction.on_commit(lambda: publish(channel, {"topic": "roles"}) and None, robust=True)
