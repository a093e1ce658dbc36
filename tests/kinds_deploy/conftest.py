"""Fixtures of these tests. Models are imported inside: this file is read before Django is set up."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kinds_deploy.local_server import LocalServer, serving

if TYPE_CHECKING:
    from tests.kinds_deploy.gate_world import World
    from tests.kinds_deploy.support import Shop


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serving() as local:
        yield local


@pytest.fixture
def shop(tmp_path: Path, server: LocalServer, storage_folder: Path, db: None) -> "Shop":
    from tests.kinds_deploy.support import make_shop

    return make_shop(tmp_path, server)


@pytest.fixture
def world(storage_folder: Path, tmp_path: Path) -> "Iterator[World]":
    from tests.kinds_deploy.gate_world import gate_world

    with gate_world(tmp_path) as made:
        yield made
