"""A way back that took back less than was applied is none, whatever its command says of itself."""

from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from checks.tools.limits import Limits, of_way_back
from tests.kinds_data import django_library
from tests.kinds_data.support import log_of

REASON = "A rollback restores the backup."


def told(left: list[str], *, known: list[str] | None = None, waived: dict[str, str] | None = None) -> list[str]:
    """What is said of a command that ended with 0 and left these migrations applied."""
    back: dict[str, Any] = {
        "exit_status": 0, "stopped_at": left[-1] if left else "", "known": known or [], "compared": not left,
        "left": left, "reversed": [], "schema": [], "data": [],
    }  # fmt: skip
    return of_way_back(back, Limits(10, 1800, 1_000_000, True, waived or {}))


@pytest.mark.usefixtures("transactional_db", "storage_folder")
def test_a_reverse_that_takes_nothing_back_says_no(tmp_path: Path) -> None:
    more = {"0002_title": 'migrations.AddField("book", "title", models.TextField(default=""))'}
    with django_library.library(tmp_path, more, books=20) as made:
        run = django_library.rehearse(made, reverse={"argv": ["true"]})
    assert run.state == RunState.FAILED, (run.error, run.summary, log_of(run))
    assert run.summary == (
        "Going back ended with exit status 0 and left 1 of 1 migration(s) applied: library.0002_title."
    )


def test_one_of_two_applications_left_behind_says_no() -> None:
    assert told(["shop.0002"]) != []
    assert told([]) == []


def test_what_is_known_or_waived_may_stay_and_what_it_stands_on_with_it() -> None:
    assert told(["shop.0003"], known=["shop.0003"]) == []
    assert told(["shop.0003"], waived={"shop.0003": REASON}) == []
    # Django goes back from the newest: what came before in the same application cannot go while that one stays.
    assert told(["shop.0002", "shop.0003"], known=["shop.0003"]) == []
    assert told(["shop.0003", "shop.0004"], known=["shop.0003"]) != []
    assert told(["people.0002", "shop.0003"], known=["shop.0003"]) != []
