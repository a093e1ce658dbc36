"""The names of backups sort by the time at which they were begun, so that the newest one is found by its name."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from checks.tools import manifest

FIRST = datetime(2026, 11, 30, 21, 20, 59, 123456, tzinfo=UTC)


def key(moment: datetime, run: str) -> str:
    return manifest.stem("shop", "production", moment=moment, run=run * 32, attempt=1) + manifest.SUFFIX


def test_the_newest_of_several_backups_in_one_second_is_the_last(storage_folder: Path) -> None:
    moments = [FIRST + timedelta(milliseconds=number) for number in (0, 1, 500, 877)]
    keys = [key(moment, run) for moment, run in zip(moments, "fb0a", strict=True)]
    for name in keys:
        path = storage_folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    assert manifest.published("shop", "production") == keys[::-1]
    assert manifest.newest_key("shop", "production") == keys[-1]


def test_a_name_tells_when_also_one_of_before_without_milliseconds() -> None:
    assert manifest.moment_of(key(FIRST, "a")) == FIRST.replace(microsecond=123000)
    of_before = f"backups/shop/production/20261130T212059Z-{'a' * 32}-1.manifest.json"
    assert manifest.moment_of(of_before) == FIRST.replace(microsecond=0)
    assert key(FIRST - timedelta(seconds=1), "f") < of_before < key(FIRST + timedelta(seconds=1), "0")
