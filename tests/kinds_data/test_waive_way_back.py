"""A plan excuses, with a reason, what going back on the clone does not bring back; it excuses no more than it names."""

from typing import Any

import pytest

from checks.tools.limits import Limits, of_way_back

REASON = "A rollback restores the backup."


def told(waived: dict[str, str], **differs: Any) -> list[str]:
    """What is said when going back leaves ``public.event`` with two columns empty, or as ``differs`` says."""
    row = {"table": "public.event", "rows_before": 1, "rows_after": 1, "columns": ["accept", "reject"], **differs}
    back = {"exit_status": 0, "stopped_at": "", "known": [], "compared": True, "schema": [], "data": [row],
            "left": [], "reversed": []}  # fmt: skip
    return of_way_back(back, Limits(10, 1800, 1_000_000, True, waived))


def test_what_no_reason_excuses_fails() -> None:
    assert told({}) == ["Going back does not bring back what 1 table(s) held: public.event."]


@pytest.mark.parametrize(
    "waived", [{"public.event": REASON}, {"public.event.accept": REASON, "public.event.reject": REASON}]
)
def test_a_table_or_each_of_its_columns_is_excused(waived: dict[str, str]) -> None:
    assert told(waived) == []


@pytest.mark.parametrize(
    "waived",
    [{"public.event.accept": REASON}, {"event": REASON}, {"public.event.other": REASON}, {"event.0037": REASON}],
)
def test_a_column_left_out_or_named_otherwise_is_not_excused(waived: dict[str, str]) -> None:
    assert told(waived) != []


@pytest.mark.parametrize("differs", [{"rows_after": 0}, {"columns": [], "rows_after": 2}, {"columns": []}])
def test_columns_excuse_no_row_that_came_or_went(differs: dict[str, Any]) -> None:
    assert told({"public.event.accept": REASON, "public.event.reject": REASON}, **differs) != []
