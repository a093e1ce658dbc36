"""Brings database, static files, storage and the default workspace up to date.

One process for all, because starting Django is what takes time.

Usage: python -m config.services.prepare [redis] [database] [static] [storage] [workspace]
"""

import argparse
import hashlib
import os
import sys
from pathlib import Path

import django
from botocore.exceptions import BotoCoreError, ClientError
from django.db import OperationalError
from redis import Redis, RedisError

STEPS = ("redis", "database", "static", "storage", "workspace")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="*", choices=(*STEPS, []), help="which to take; all when none is named")
    steps = parser.parse_args().steps or STEPS
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.umask(0o077)  # what this writes, the passwords above all, is for its owner only
    django.setup()
    try:
        for step in STEPS:
            if step in steps:
                ACTIONS[step]()
    except OperationalError as error:
        return _failed("PostgreSQL", "DATABASE_URL", error)
    except RedisError as error:
        return _failed("Redis", "REDIS_URL", error)
    except (BotoCoreError, ClientError) as error:
        return _failed("The storage", "STORAGE_URL", error)
    return 0


def _failed(what: str, variable: str, error: Exception) -> int:
    """Say in one sentence which part does not answer and where its address comes from."""
    reason = (str(error).strip().splitlines() or ["no reason given"])[-1].rstrip(".")
    print(f"{what} cannot be used: {reason}. Look at {variable}.", file=sys.stderr)
    return 1


def reach_redis() -> None:
    from django.conf import settings

    with Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5) as client:
        client.ping()


def migrate() -> None:
    """Apply what is pending; asking first is much quicker than running an empty `migrate`."""
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", interactive=False, verbosity=1)


def collect_static() -> None:
    """Collect and compress only when a source file has changed, for that takes seconds."""
    from django.conf import settings
    from django.contrib.staticfiles.finders import get_finders
    from django.core.management import call_command

    facts = hashlib.sha256(f"{sys.version} {settings.STATIC_MANIFEST}".encode())
    for finder in get_finders():
        for name, storage in sorted(finder.list([]), key=lambda pair: str(pair[0])):
            status = Path(storage.path(name)).stat()
            facts.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    stamp = Path(settings.STATIC_ROOT) / ".collected"
    if stamp.exists() and stamp.read_text(encoding="ascii") == facts.hexdigest():
        return
    call_command("collectstatic", interactive=False, verbosity=1, clear=True)
    stamp.write_text(facts.hexdigest(), encoding="ascii")


def make_bucket() -> None:
    """Make the bucket that STORAGE_URL names where it is missing; a folder needs nothing."""
    from django.core.files.storage import default_storage

    bucket_name = getattr(default_storage, "bucket_name", "")
    if not bucket_name:
        return
    client = default_storage.connection.meta.client  # type: ignore[attr-defined]
    existing = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    if bucket_name not in existing:
        client.create_bucket(Bucket=bucket_name)


def load_workspace() -> None:
    from django.conf import settings
    from django.core.management import call_command

    call_command("load_workspace", passwords_file=str(settings.GONOGO_HOME / "passwords.json"))


ACTIONS = {
    "redis": reach_redis,
    "database": migrate,
    "static": collect_static,
    "storage": make_bucket,
    "workspace": load_workspace,
}

if __name__ == "__main__":
    sys.exit(main())
