"""A shop of its own for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def plain_shop(transactional_db: None, storage_folder: Path, tmp_path: Path) -> Iterator[Any]:
    from tests.kinds_data.support import shop  # models cannot be imported before Django is set up

    with shop(tmp_path) as made:
        yield made
