"""A Redis that can be killed, and a database that refuses everybody for a while."""

import subprocess
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection

from config.services.ports import free_port
from config.services.redis import RedisServer
from tests.engine.workers import database_url


class OwnRedis:
    """A Redis of one test, that can be killed and started again with its data."""

    def __init__(self, folder: Path) -> None:
        self.server = RedisServer(folder, free_port(), "outage")
        self.url = self.server.url
        self.process: Any = None

    def start(self) -> None:
        self.process = self.server.start(subprocess.DEVNULL)
        self.server.wait(self.process)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Outage:
    """This test's database refuses everybody for a while, as a restarting PostgreSQL does."""

    def __init__(self) -> None:
        self.name = connection.settings_dict["NAME"]
        self.address = database_url().replace(f"/{self.name}?", "/postgres?")

    def __enter__(self) -> None:
        connection.close()
        with psycopg.connect(self.address, autocommit=True) as other:
            other.execute(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS false')
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [self.name])

    def __exit__(self, *_: Any) -> None:
        with psycopg.connect(self.address, autocommit=True) as other:
            other.execute(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS true')
