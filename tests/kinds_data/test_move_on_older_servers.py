"""People are moved between servers older than ours as well: the same conflicts, the same proof, the same way back."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checks.enums import RunState
from checks.tools import bytes_hash
from checks.tools.postgres import Address
from checks.tools.transition import asking
from tests.kinds_data import (
    older_server,
    support,
    test_move_any_value,
    test_move_odd_shapes,
    test_move_people,
    test_name_conflicts,
    test_name_limits,
)
from tests.kinds_data.people import people

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")
PROGRAMS = older_server.programs()
#: What a transition must do wherever it runs; each makes its two databases on the server of ``support.admin``.
THE_SAME: list[Callable[[Path], None]] = [
    test_name_conflicts.test_each_conflict_is_named_with_its_keys_and_nothing_is_written,
    test_name_limits.test_rows_that_an_exclusion_refuses_are_named,
    test_name_limits.test_what_a_domain_of_the_target_refuses_is_named,
    test_name_limits.test_new_numbers_that_the_target_does_not_reach_are_named,
    test_name_limits.test_what_becomes_the_other_type_without_loss_is_no_conflict,
    test_move_any_value.test_domains_constants_and_nulls_have_one_checksum_on_both_sides,
    test_move_odd_shapes.test_rows_are_recognised_by_case_in_a_column_of_a_domain,
]


def moved_and_undone(folder: Path) -> None:
    with people(folder) as moving:
        test_move_people.test_a_rehearsal_moves_proves_and_undoes_on_a_clone(moving)


@pytest.fixture(scope="module")
def older() -> Iterator[Address]:
    assert PROGRAMS is not None
    with older_server.running(PROGRAMS) as address:
        yield address


@pytest.mark.campaign
@pytest.mark.skipif(PROGRAMS is None, reason="no older PostgreSQL is installed")
@pytest.mark.parametrize("same", [*THE_SAME, moved_and_undone], ids=lambda test: test.__name__.removeprefix("test_"))
def test_an_older_server_does_the_same(
    same: Callable[[Path], None], older: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "admin", lambda: older)
    same(tmp_path)


@pytest.mark.parametrize("same", [THE_SAME[0], moved_and_undone], ids=["conflicts", "moved_and_undone"])
def test_what_is_asked_of_older_servers_is_true_of_ours(
    same: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "SINCE", 10**9)
    monkeypatch.setattr(bytes_hash, "HASHES_BYTES", 10**9)
    same(tmp_path)


def test_a_role_that_may_make_no_functions_of_its_session_is_told_before_the_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "SINCE", 10**9)
    with people(tmp_path) as made:
        with support.administration() as server:
            name = made.address.database
            server.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")  # type: ignore[call-overload]
            server.execute(f"GRANT CONNECT, CREATE ON DATABASE {name} TO {made.role}")  # type: ignore[call-overload]
            server.execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM {made.role}")  # type: ignore[call-overload]
        run = made.rehearse()
    assert run.state == RunState.ERRORED, run.summary
    assert "make functions of its session" in run.error
    assert f'GRANT TEMPORARY ON DATABASE "{made.address.database}"' in run.remedy
