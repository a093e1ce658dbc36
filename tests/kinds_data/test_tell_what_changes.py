"""What a clock, a type or an empty table does to a move is told, and nothing of it looks like a loss."""

from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from checks.tools.transition import moving
from tests.kinds_data.people import people
from tests.kinds_data.support import log_of
from tests.kinds_data.test_download_results import page

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

SOURCE = """
CREATE TABLE thing (id int PRIMARY KEY, joined timestamptz, seen timestamptz, a json);
CREATE TABLE bare (id int PRIMARY KEY, a text);
INSERT INTO thing VALUES (1, '2026-01-01Z', '2026-01-02Z', '{"a": 1, "a": 2}'), (2, '2100-01-01Z', now(), '{}'),
    (3, '1999-01-01Z', NULL, NULL);
"""
TARGET = """
CREATE TABLE thing (id int PRIMARY KEY, joined timestamptz, made timestamptz, a jsonb);
CREATE TABLE bare (id int PRIMARY KEY, a text);
"""
THING: dict[str, Any] = {
    "table": "thing", "keys": "keep", "same": ["a"],
    "columns": {"joined": {"sql": "least(joined, now())"}, "made": {"sql": "CURRENT_TIMESTAMP"}},
    "skip": [{"when": "joined < now() - interval '10 years'", "reason": "Long ago."}],
}  # fmt: skip
BARE: dict[str, Any] = {"table": "bare", "keys": "keep", "same": ["a"]}


def test_what_the_clock_decides_is_no_change_of_the_source_and_what_it_is_computed_from_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET) as made:
        run = made.rehearse([THING, BARE])
        assert run.state == RunState.PASSED, (run.error, run.summary, run.result.get("differences"), log_of(run))
        assert "public.bare has no row in the source, so nothing of it was moved or proven." in run.result["notes"]
        text = page(run)
        assert (text.count("Proven"), text.count("no rows")) == (1, 1)
        assert (
            "public.thing.a becomes jsonb: of several equal keys in one object the last one stays, and neither order"
            " nor spaces do." in run.result["notes"]
        )
        meanwhile = moving.Mover._source_meanwhile

        def changing(self: moving.Mover, *more: Any) -> None:
            made.at_source("UPDATE thing SET joined = '2026-01-03Z' WHERE id = 1")
            meanwhile(self, *more)

        monkeypatch.setattr(moving.Mover, "_source_meanwhile", changing)
        run = made.rehearse([THING, BARE])
        assert run.state == RunState.FAILED, (run.error, run.summary)
        assert "public.thing changed in the source while it was moved: 3 rows then, 3 now." in run.summary
        assert run.result["differences"] == []

        run = made.rehearse([{**THING, "columns": {"made": {"sql": "statement_timestamp()"}}}])
        assert run.state == RunState.ERRORED
        assert "calls statement_timestamp, which gives another value each time" in run.error


def test_json_that_becomes_a_domain_over_jsonb_is_told_and_not_taken_for_changed(tmp_path: Path) -> None:
    source = """CREATE TABLE thing (id int PRIMARY KEY, a json); INSERT INTO thing VALUES (1, '{"b":1,   "a":[ 2 ]}')"""
    target = "CREATE DOMAIN document AS jsonb; CREATE TABLE thing (id int PRIMARY KEY, a document)"
    with people(tmp_path, source=source, target=target) as made:
        run = made.rehearse([{"table": "thing", "keys": "keep", "same": ["a"]}])
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
        assert [note for note in run.result["notes"] if note.startswith("public.thing.a becomes jsonb")]
