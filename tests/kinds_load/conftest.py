"""Fixtures of these tests."""

from collections.abc import Iterator

import pytest

from tests.kinds_deploy.local_server import LocalServer, serving


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serving() as local:
        yield local
