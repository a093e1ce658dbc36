"""What make bench runs, and that a limit of the load's benchmark can be missed."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import load
from benchmarks.__main__ import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_that_is_run_can_be_run(name: str) -> None:
    spec = find_spec(f"benchmarks.{name}")
    assert spec is not None
    assert spec.origin is not None
    assert 'if __name__ == "__main__":' in Path(spec.origin).read_text()


def test_a_limit_is_shown_beside_its_figure_and_can_be_missed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "MISSED", [])
    load.show("lag", 1.9, "s", at_most=2)
    assert load.MISSED == []
    load.show("lag", 2.1, "s", "longest", at_most=2)
    load.show("overhead", float("nan"), "%", at_most=3)
    assert load.MISSED == ["lag", "overhead"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1].strip() for line in lines[:2]] == ["limit 2", "limit 2; longest; MISSED"]
