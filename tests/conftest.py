"""Starts a throwaway PostgreSQL for the whole session and a Redis for each test process, then points Django at them.

`DATABASE_URL` and `REDIS_URL`, where set, are used instead. This file sets DJANGO_SETTINGS_MODULE itself, because the
settings read the addresses of the servers and must not be loaded before those run.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Harness, settings_for_tests

_harness: Harness | None = None


def _needed() -> Harness:
    global _harness  # noqa: PLW0603 - one for each process, stopped in pytest_unconfigure
    if _harness is None:
        _harness = Harness()
    return _harness


def _start_servers() -> None:
    """The controller starts PostgreSQL, and its workers inherit the address; each process has its own Redis.

    Channels of Redis are not divided by database number, so test processes must not share one.
    """
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if "DATABASE_URL" not in os.environ:
        os.environ["DATABASE_URL"] = _needed().start_postgres()
    if "REDIS_URL" not in os.environ or os.environ.get("GONOGO_TEST_REDIS") == "own":
        os.environ["GONOGO_TEST_REDIS"] = "own"
        os.environ["REDIS_URL"] = _needed().start_redis()
    home = _needed().folder / "home"
    if is_worker or "GONOGO_HOME" not in os.environ:
        os.environ["GONOGO_HOME"] = str(home)
    settings_for_tests(home)


_start_servers()
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"


def pytest_configure(config: pytest.Config) -> None:
    """Load the settings now that the servers run; pytest-django sets Django up right after this."""
    from django.conf import settings

    assert settings.configured or settings.DATABASES


def pytest_unconfigure(config: pytest.Config) -> None:
    if _harness is not None:
        _harness.stop()


@pytest.fixture(scope="session", autouse=True)
def _flush_may_truncate() -> None:
    """Let Django empty the tables between tests although the ledger refuses TRUNCATE.

    Triggers are off for that one transaction; only a superuser, which no installation uses, can do this.
    """
    from django.db import connection, transaction
    from django.db.backends.postgresql.operations import DatabaseOperations

    def execute_sql_flush(self: DatabaseOperations, sql_list: list[str]) -> None:
        with transaction.atomic(using=self.connection.alias), self.connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            for sql in sql_list:
                cursor.execute(sql)

    type(connection.ops).execute_sql_flush = execute_sql_flush  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def _rate_limits(request: pytest.FixtureRequest, settings: object) -> None:
    if request.node.get_closest_marker("lockout"):
        settings.AXES_ENABLED = True  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _clean_cache() -> Iterator[None]:
    yield
    from django.core.cache import cache

    cache.clear()


@pytest.fixture
def storage_folder(settings: object, tmp_path: Path) -> Path:
    """An empty file store of its own for one test."""
    from config import env

    folder = tmp_path / "storage"
    settings.STORAGES = {**settings.STORAGES, "default": env.storage(folder.as_uri())}  # type: ignore[attr-defined]
    return folder
