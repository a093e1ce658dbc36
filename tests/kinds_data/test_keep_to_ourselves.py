"""What is kept in the target is its owner's alone."""

from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from checks.enums import RunState
from checks.tools.postgres import Connection
from checks.tools.transition import moving
from tests.kinds_data.people import people
from tests.kinds_data.support import administration, log_of

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

READABLE = """
    SELECT c.relname, has_table_privilege(%s, c.oid, 'SELECT'), has_schema_privilege(%s, n.oid, 'USAGE')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'gonogo_transition' AND c.relkind = 'r' ORDER BY 1
"""


def test_default_privileges_of_the_target_open_nothing_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    commit = moving.Mover._commit
    with people(tmp_path) as made:
        other = f"{made.role}_reports"

        def look(self: moving.Mover, target: Connection) -> None:
            seen.extend(target.execute(READABLE, [other, other]).fetchall())
            commit(self, target)

        monkeypatch.setattr(moving.Mover, "_commit", look)
        with administration() as server:
            server.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(other)))
        try:
            for what in ("USAGE ON SCHEMAS", "SELECT ON TABLES"):
                for whom in (f'"{other}"', "PUBLIC"):
                    made.sql(f"ALTER DEFAULT PRIVILEGES GRANT {what} TO {whom}")
            run = made.rehearse(clone="template")
            assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
        finally:
            with administration(made.address.database) as server:
                server.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(other)))
    assert {name.partition("_")[2] or name for name, *_ in seen} >= {"journal", "1_keys", "1_before", "4_keys"}
    assert [row for row in seen if row[1] or row[2]] == []
