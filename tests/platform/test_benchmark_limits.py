"""A benchmark that misses a limit says which, and does not end as if all were well."""

import pytest

from benchmarks import board, limits, transition


@pytest.fixture(autouse=True)
def nothing_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_missed", [])


def test_a_limit_that_is_missed_is_named_and_ends_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert limits.limited("narrow", 1.6, at_most=1.6) == "limit 1.6"
    assert limits.limited("rows a second", 99_999, at_least=100_000) == "at least 100,000; MISSED"
    with pytest.raises(SystemExit) as ended:
        limits.end()
    assert ended.value.code == 1
    assert capsys.readouterr().out == "MISSED rows a second: 99,999.00, at least 100,000\n"


def test_limits_that_hold_end_as_they_should() -> None:
    limits.limited("narrow", 1.2, at_most=1.6)
    limits.end()


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_rows_moved_too_slowly_and_an_undo_that_is_not_exact_count(seconds: float) -> None:
    """100,000 rows: in half a second they hold the limit, in two they do not."""
    phases = {"stage": seconds / 2, "move": seconds / 2, "keep": 0.1, "preflight": 0.1, "prove": 0.1}
    exact = seconds < 1
    run = {"phases": phases, "total": {"inserted": 100_000, "merged": 0},
           "undo": {"done": True, "differences": [] if exact else ["one"]}}  # fmt: skip
    transition._show("users", 100_000, run, 0.4, 10.0)
    if exact:
        limits.end()
    else:
        assert len(limits._missed) == 2
    assert board.limits is limits
