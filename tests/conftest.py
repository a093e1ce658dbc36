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

    settings.PASSWORD_HASHERS = ["tests.hashers.QuickHasher"]


def pytest_unconfigure(config: pytest.Config) -> None:
    if _harness is not None:
        _harness.stop()


#: What migrations fill and no test changes; emptying it would mean filling it again after each test.
KEPT_TABLES = frozenset({"django_content_type", "auth_permission"})


@pytest.fixture(scope="session", autouse=True)
def _quick_flush() -> None:
    """Empty, after a test with real transactions, only the tables that hold rows.

    The ledger's triggers, which refuse this, are off for that one transaction; only a superuser, which no
    installation uses, can do so.
    """
    from django.core.management.commands import flush
    from django.db import connection, transaction
    from django.db.backends.postgresql.operations import DatabaseOperations

    def sql_flush(self: DatabaseOperations, style: object, tables: list[str], **_options: bool) -> list[str]:
        names = [self.quote_name(table) for table in tables if table not in KEPT_TABLES]
        probes = [f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in names]
        with self.connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(probes))
            return [f"DELETE FROM {name}" for (name,) in cursor.fetchall()]

    def execute_sql_flush(self: DatabaseOperations, sql_list: list[str]) -> None:
        with transaction.atomic(using=self.connection.alias), self.connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            for sql in sql_list:
                cursor.execute(sql)

    operations = type(connection.ops)
    operations.sql_flush = sql_flush  # type: ignore[assignment, method-assign]
    operations.execute_sql_flush = execute_sql_flush  # type: ignore[assignment, method-assign]
    # What it would fill again is in KEPT_TABLES.
    flush.emit_post_migrate_signal = lambda *_arguments, **_options: None  # type: ignore[attr-defined]


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
