"""A name in may_change that allows nothing is told, since else a slip would be found in production."""

from pathlib import Path

import pytest

from checks.enums import RunState
from tests.kinds_data.people import people
from tests.kinds_data.test_move_any_value import passed

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")


def test_a_name_in_may_change_that_the_target_does_not_have_is_told(tmp_path: Path) -> None:
    with people(tmp_path) as made:
        for name in ("progress.scores", "person", "untouched.note", "nobody"):
            run = made.rehearse(may_change={name: "Triggers write it."})
            assert run.state == RunState.ERRORED, (name, run.summary)
            assert run.error.startswith(f"may_change names '{name}', which is no column of a moved table"), run.error
            assert "Correct may_change in the plan" in run.remedy
        passed(made.rehearse(may_change={"public.progress.score": "Triggers write it.", "untouched": "So do they."}))
