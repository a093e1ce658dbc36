"""Fixtures of these tests. Models are imported inside: this file is read before Django is set up."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.engine.outages import OwnRedis


@pytest.fixture
def own_redis(tmp_path: Path) -> "Iterator[OwnRedis]":
    from tests.engine.outages import OwnRedis

    own = OwnRedis(tmp_path / "redis")
    own.start()
    yield own
    own.kill()
