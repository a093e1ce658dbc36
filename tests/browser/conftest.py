"""The program, an application that it releases, and one journey through both, shared by all tests of this folder.

All of them run in one process, one after another (``TOGETHER`` in tests/conftest.py), because they share the journey.
"""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.journey import Journey
from tests.browser.stack import Stack
from tests.interface.browser import open_browser

# A busy machine is slow, not wrong.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("browser")
    if os.geteuid() == 0:
        # PostgreSQL runs as another person, who must be able to pass through.
        for part in (folder, *folder.parents[:2]):
            part.chmod(part.stat().st_mode | 0o011)
    running = Stack(folder / "home")
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(scope="session")
def whole_journey(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    return Journey(stack, tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def journey(whole_journey: Journey, chromium: Browser) -> Iterator[Journey]:
    """The journey in this module's browser; what another module walked is walked."""
    whole_journey.use(chromium)
    yield whole_journey
    whole_journey.use(None)
