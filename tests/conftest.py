"""Starts a throwaway PostgreSQL and Redis for each test process, then points Django at them.

`DATABASE_URL` and `REDIS_URL`, where set, are used instead. This file sets DJANGO_SETTINGS_MODULE itself, because the
settings read the addresses of the servers and must not be loaded before those run.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from inspect import iscoroutinefunction
from pathlib import Path

import pytest

from tests import template
from tests.harness import FOLDER, Harness, settings_for_tests

#: The tests below each of these share what takes long to make, and run in one process one after another.
TOGETHER = ("tests/platform/test_runner.py", "tests/browser/", "tests/kinds_data/test_compare_databases.py")

_harness: Harness | None = None
_template: "subprocess.Popen[bytes] | None" = None


def _needed() -> Harness:
    global _harness  # noqa: PLW0603 - one for each process, stopped in pytest_unconfigure
    if _harness is None:
        _harness = Harness()
    return _harness


def _start_servers() -> None:
    """Each process has servers of its own, so that a test may restart one, end its clients, or look at all of it."""
    if "DATABASE_URL" not in os.environ:
        os.environ["DATABASE_URL"] = _needed().start_postgres()
    if "REDIS_URL" not in os.environ:
        os.environ["REDIS_URL"] = _needed().start_redis()
    os.environ["GONOGO_HOME"] = str(_needed().folder / "home")
    settings_for_tests()


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers and load the settings; pytest-django sets Django up right after this.

    The controller of parallel processes runs no test and needs none of it.
    """
    global _template  # noqa: PLW0603 - ended in pytest_unconfigure
    from django.conf import settings

    if settings.configured:
        pytest.exit("Unset DJANGO_SETTINGS_MODULE: the settings were loaded before the servers they point to ran.", 4)
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        # config.celery has set it, and a process that inherits it loads the settings too early.
        os.environ.pop("DJANGO_SETTINGS_MODULE", None)
        os.environ[FOLDER] = str(_needed().folder)
        if "DATABASE_URL" not in os.environ:
            _template = template.begin(_needed().folder)
        return
    _start_servers()
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    settings.PASSWORD_HASHERS = ["tests.hashers.QuickHasher"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Send each test to whoever is free, but those that belong together to one process, and these first."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((prefix for prefix in TOGETHER if nodeid.startswith(prefix)), nodeid)

    return Scheduling(config, log)  # type: ignore[arg-type]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, in whatever order the rest comes: no process works alone at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _template is not None:
        _template.send_signal(signal.SIGINT)  # so that it stops its own server; it has ended long ago, or is not needed
        _template.wait()
    if _harness is not None:
        _harness.stop()


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_modify_db_settings: None) -> bool:
    """Restore the database that was migrated once for all parallel processes; one process alone migrates its own."""
    if _harness is None or FOLDER not in os.environ:
        return False
    from django.db import connection

    server, name = os.environ["DATABASE_URL"], connection.settings_dict["TEST"]["NAME"]
    template.restore(Path(os.environ[FOLDER]), server, name)
    return True


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
def _connections_of_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close what an asynchronous test opened in the thread that asks the database for it.

    Left open, it is broken in the next such test where one between them ended all connections.
    """
    yield
    if iscoroutinefunction(request.function):
        from asgiref.sync import SyncToAsync
        from django.db import connections

        SyncToAsync.single_thread_executor.submit(connections.close_all).result(10)


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
