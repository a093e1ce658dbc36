"""Fixtures of these tests. Models are imported inside: this file is read before Django is set up."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kinds_deploy.local_server import LocalServer, Reply, serving

if TYPE_CHECKING:
    from tests.monitoring.support import Watched


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serving({"/": Reply(body=b"welcome")}) as local:
        yield local


@pytest.fixture
def watched(server: LocalServer, storage_folder: Path, db: None) -> "Watched":
    from tests.monitoring.support import make_watched

    return make_watched(server)
