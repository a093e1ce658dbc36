"""The long steps tell what they do now and how far they are."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checks.steps import StepRecord
from checks.tools import background, digest
from tests.kinds_data.people import people
from tests.kinds_data.support import Shop, log_of


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """Step -> what it told, in the order in which it did: words, and fractions."""
    found: dict[str, list[Any]] = {}
    progress, doing = StepRecord.progress, StepRecord.doing

    def told_progress(record: StepRecord, done: float, total: float | None = None, unit: str = "") -> None:
        progress(record, done, total, unit)
        found.setdefault(record.step.key, []).append(record.fraction)

    def told_doing(record: StepRecord, text: str) -> None:
        doing(record, text)
        found.setdefault(record.step.key, []).append(text)

    monkeypatch.setattr(StepRecord, "progress", told_progress)
    monkeypatch.setattr(StepRecord, "doing", told_doing)
    return found


def slowly(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, seconds: float) -> None:
    """The real work, at the pace of a large database."""
    work: Callable[..., Any] = getattr(module, name)

    def slow(*arguments: Any, **named: Any) -> Any:
        time.sleep(seconds)
        return work(*arguments, **named)

    monkeypatch.setattr(module, name, slow)


def fractions(said: list[Any]) -> list[float]:
    return [each for each in said if isinstance(each, float)]


def test_the_comparison_of_a_drill_tells_its_table_and_how_many_rows_are_done(
    plain_shop: Shop, told: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plain_shop.run("backup").state == "passed"
    monkeypatch.setattr(background, "_LOOK_SECONDS", 0.005)
    slowly(monkeypatch, digest, "digest_table", 0.03)
    slowly(monkeypatch, digest, "digest_large_objects", 0.03)
    run = plain_shop.run("drill", amcheck=False)
    assert run.state == "passed", (run.error, run.summary, log_of(run))
    said = told["compare"]
    assert {"Comparing public.customer", "Comparing large objects, sequences and schema"} <= set(map(str, said))
    done = fractions(said)
    assert done == sorted(done)
    assert any(0 < fraction < 1 for fraction in done)
    assert done[-1] == 1.0, "every row of the manifest was counted"


def test_keeping_and_proving_of_a_transition_tell_their_table_and_how_far_they_are(
    transactional_db: None, storage_folder: Path, tmp_path: Path, told: dict[str, list[Any]]
) -> None:
    with people(tmp_path) as moving:
        run = moving.rehearse()
    assert run.state == "passed", (run.error, run.summary, log_of(run))
    for key, sentences in (
        ("keep", ["Keeping which row of public.person became which"]),
        ("prove", ["Comparing public.progress with the source", "Comparing every other table with what it was",
                   "Looking whether public.person changed in the source meanwhile"]),
    ):  # fmt: skip
        assert set(sentences) <= set(map(str, told[key])), key
        done = fractions(told[key])
        assert done == sorted(done), key
        assert len(set(done)) >= 4, key
        assert done[-1] < 1, "only its end is the whole"
