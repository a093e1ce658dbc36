"""A shop of its own, and a second server, for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from checks.tools.postgres import Address
from tests.harness import Harness


@pytest.fixture
def plain_shop(transactional_db: None, storage_folder: Path, tmp_path: Path) -> Iterator[Any]:
    from tests.kinds_data.support import shop  # models cannot be imported before Django is set up

    with shop(tmp_path) as made:
        yield made


@pytest.fixture
def second_server() -> Iterator[Address]:
    """A database and its ordinary role on a server of its own, which no other test uses."""
    harness = Harness()
    try:
        with psycopg.connect(harness.start_postgres(), autocommit=True) as connection:
            connection.execute("CREATE ROLE elsewhere LOGIN CREATEDB PASSWORD 'only-here'")
            connection.execute("CREATE DATABASE elsewhere OWNER elsewhere")
            facts = {"host": connection.info.host, "port": str(connection.info.port), "dbname": "elsewhere"}
        yield Address({**facts, "user": "elsewhere", "password": "only-here"})
    finally:
        harness.stop()
