"""Triggers that are off while rows are moved are afterwards what they were before, in each partition by itself."""

from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from checks.tools.postgres import Connection, connected
from checks.tools.transition import moving, undo_rehearsal
from tests.kinds_data.people import people
from tests.kinds_data.support import log_of

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

#: One partition has a trigger of its own, another has the common one switched off, a third has it always on.
PARTITIONED = """
CREATE TABLE visit (id int, at date, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE visit_2 PARTITION OF visit FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
CREATE TABLE visit_3 PARTITION OF visit FOR VALUES FROM ('2028-01-01') TO ('2029-01-01');
CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := ''changed''; RETURN NEW; END';
CREATE TRIGGER own BEFORE INSERT ON visit_1 FOR EACH ROW EXECUTE FUNCTION loud();
CREATE TRIGGER common BEFORE INSERT ON visit FOR EACH ROW EXECUTE FUNCTION loud();
ALTER TABLE visit_2 DISABLE TRIGGER common;
ALTER TABLE visit_3 ENABLE ALWAYS TRIGGER common;
"""
VISITS = """
CREATE TABLE visit (id int, at date, note text, PRIMARY KEY (id, at));
INSERT INTO visit VALUES (1, '2026-02-02', 'a'), (2, '2027-02-02', 'b'), (3, '2028-02-02', 'c');
"""
STATES = "SELECT tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"


def test_triggers_of_partitions_are_off_meanwhile_and_have_their_own_state_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    commit, note = moving.Mover._commit, undo_rehearsal.note

    def look(self: moving.Mover, target: Connection) -> None:
        seen.append(target.execute(STATES).fetchall())
        commit(self, target)

    def noted(context: Any, address: Any, may_change: Any) -> Any:
        with connected(address) as connection:
            seen.append(connection.execute(STATES).fetchall())
        return note(context, address, may_change)

    monkeypatch.setattr(moving.Mover, "_commit", look)
    monkeypatch.setattr(undo_rehearsal, "note", noted)
    with people(tmp_path, source=VISITS, target=PARTITIONED) as made:
        tables = [{"table": "visit", "keys": "keep", "key": ["id", "at"], "same": ["note"]}]
        run = made.rehearse(tables, triggers="off")
        assert run.state == RunState.PASSED, (run.error, run.summary, run.result.get("differences"), log_of(run))
        assert "public.visit has 2 triggers, which are off meanwhile." in run.result["notes"]
    before, moved, undone = seen
    assert ("public.visit_2", "common", "D") in before
    assert ("public.visit_3", "common", "A") in before
    assert (moved, undone) == (before, before)
