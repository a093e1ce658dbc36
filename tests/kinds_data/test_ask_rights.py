"""What the role may not do in production is told before the clone is made, on which it may do everything."""

from pathlib import Path

import pytest
from psycopg import sql

from checks.enums import RunState
from tests.kinds_data.people import people
from tests.kinds_data.support import admin, administration, log_of

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

SCHEMA = """
CREATE SEQUENCE numbers;
CREATE TABLE thing (id int PRIMARY KEY DEFAULT nextval('numbers'), a text);
CREATE FUNCTION as_it_is() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER as_it_is BEFORE INSERT ON thing FOR EACH ROW EXECUTE FUNCTION as_it_is();
"""


def test_a_right_that_production_does_not_give_is_told_before_the_clone_is_made(tmp_path: Path) -> None:
    source = "CREATE TABLE thing (id int PRIMARY KEY, a text); INSERT INTO thing VALUES (1, 'x')"
    tables = [{"table": "thing", "keys": "keep", "same": ["a"]}]
    with people(tmp_path, source=source, target=SCHEMA) as made:
        database, role, owner = (sql.Identifier(one) for one in (made.address.database, made.role, admin().role))
        with administration() as server:
            server.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, owner))
        with administration(made.address.database) as server:
            server.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))
            server.execute(
                sql.SQL("ALTER SEQUENCE numbers OWNER TO {}; ALTER TABLE thing OWNER TO {}").format(owner, owner)
            )
            server.execute(sql.SQL("GRANT SELECT, INSERT ON thing TO {}").format(role))
        try:
            run = made.rehearse(tables, triggers="off")
            assert run.state == RunState.ERRORED, (run.summary, log_of(run))
            assert run.error == (
                f"The role {made.role} may not do in {made.address.database} itself what the move needs: create the"
                " schema gonogo_transition; lock public.thing; undo public.thing; hold the sequence public.numbers;"
                " switch off the triggers of public.thing. Nothing was written."
            )
            assert f'GRANT CREATE ON DATABASE "{made.address.database}" TO "{made.role}";' in run.remedy
            assert "Cloned" not in log_of(run)

            with administration(made.address.database) as server:
                for statement in run.remedy.partition(": ")[2].split(";"):
                    server.execute(statement)  # type: ignore[call-overload]
            run = made.rehearse(tables, triggers="off")
            assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
            made.sql("CREATE SCHEMA gonogo_transition")
        finally:
            with administration() as server:
                server.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, role))
