"""Rehearsing migrations for real: the clone is migrated, the original is not."""

import sys
from typing import Any

import psycopg
import pytest

from checks.enums import RunState
from tests.kinds_data.support import Shop, databases, log_of

PSQL = """
import os, sys, psycopg, time
with psycopg.connect(os.environ["DATABASE_URL"], autocommit="--auto" in sys.argv) as database:
    for statement in sys.argv[1].split(";;"):
        print(statement, flush=True)
        database.execute(statement)
"""


def statements(*sql: str, **more: Any) -> dict[str, Any]:
    """Parameters of a migration whose command executes statements in one transaction. Nobody need go back."""
    command = {"argv": [sys.executable, "-c", PSQL, ";;".join(sql)]}
    return {"command": command, "visitors_wait": "1m", "irreversible": {"command": "The backup is put back."}, **more}


@pytest.fixture
def application(plain_shop: Shop) -> Shop:
    return plain_shop


def rehearse(application: Shop, *sql: str, **more: Any) -> Any:
    return application.run("migration", release=application.release(), **statements(*sql, **more))


def test_a_rehearsal_changes_the_clone_only_and_drops_it(application: Shop) -> None:
    before = databases()
    run = rehearse(application, "ALTER TABLE customer ADD COLUMN nick text")
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    assert run.result["schema"] == [{"object": "column public.customer.nick", "change": "added"}]
    clone = run.result["clone"]
    assert clone["method"] in ("reflink", "file_copy")
    assert [way for way, _ in clone["passed_over"]] == ([] if clone["method"] == "reflink" else ["reflink"])
    assert 0 < clone["visitors_seconds"] <= clone["seconds"]
    assert databases() == before
    assert not application.sql("SELECT 1 FROM pg_attribute WHERE attname = 'nick'")


def test_a_rewrite_is_named_and_nothing_else_is(application: Shop) -> None:
    run = rehearse(
        application,
        "ALTER TABLE purchase ALTER COLUMN id TYPE bigint",
        "ALTER TABLE customer ADD COLUMN points integer NOT NULL DEFAULT 0",
    )
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    (rewrite,) = run.result["rewrites"]
    assert (rewrite["table"], rewrite["rows"], rewrite["how"]) == ("public.purchase", 2000, "rewritten")
    assert run.result["rebuilt_indexes"] == []


#: table -> (what is done to it, how it is told; "" where its file stays as it is).
REWRITES = {
    "wider": ("ALTER TABLE wider ALTER n TYPE bigint", "rewritten"),
    "volatile": ("ALTER TABLE volatile ADD m double precision DEFAULT random()", "rewritten"),
    "stored": ("ALTER TABLE stored ADD m integer GENERATED ALWAYS AS (n + 1) STORED", "rewritten"),
    "shorter": ("ALTER TABLE shorter ALTER word TYPE varchar(5)", "rewritten"),
    "unlogged": ("ALTER TABLE unlogged SET UNLOGGED", "rewritten"),
    "full": ("VACUUM FULL full_", "rewritten"),
    "part": ("ALTER TABLE whole ALTER word TYPE varchar(5)", "rewritten"),
    "copied": (
        "CREATE TABLE other AS TABLE copied;; DROP TABLE copied;; ALTER TABLE other RENAME TO copied",
        "replaced",
    ),
    "emptied": ("TRUNCATE emptied", "emptied"),
    "longer": ("ALTER TABLE longer ALTER word TYPE varchar(90)", ""),
    "text": ("ALTER TABLE text_ ALTER word TYPE text", ""),
    "constant": ("ALTER TABLE constant ADD m integer NOT NULL DEFAULT 7", ""),
    "required": ("ALTER TABLE required ALTER n SET NOT NULL", ""),
    "dropped": ("ALTER TABLE dropped DROP COLUMN word", ""),
    "renamed": ("ALTER TABLE renamed RENAME TO renamed_too", ""),
    "indexed": ("CREATE INDEX ON indexed (n);; ALTER TABLE indexed ADD CHECK (n > 0)", ""),
    "updated": ("UPDATE updated SET n = n + 1;; DELETE FROM updated WHERE n > 15;; ANALYZE updated", ""),
}


@pytest.mark.campaign
def test_of_rewrites_none_is_missed_and_none_is_invented(application: Shop) -> None:
    names = {name: {"full": "full_", "text": "text_"}.get(name, name) for name in REWRITES}
    application.sql("CREATE TABLE whole (n integer, word varchar(20)) PARTITION BY RANGE (n)")
    for name, table in names.items():
        application.sql(f"CREATE TABLE {table} (n integer, word varchar(20))")
        application.sql(f"INSERT INTO {table} SELECT n, 'w' FROM generate_series(1, 20) n")
        if name == "part":
            application.sql(f"ALTER TABLE whole ATTACH PARTITION {table} FOR VALUES FROM (1) TO (99)")
    argv = [sys.executable, "-c", PSQL, ";;".join(statement for statement, _ in REWRITES.values()), "--auto"]
    run = application.run(
        "migration", release=application.release(), command={"argv": argv}, visitors_wait="1m", sample_every="20ms",
        irreversible={"command": "The backup is put back."},
    )  # fmt: skip
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    told = {row["table"].removeprefix("public."): (row["how"], row["rows"]) for row in run.result["rewrites"]}
    assert told == {names[name]: (how, 20) for name, (_, how) in REWRITES.items() if how}
    assert run.result["rebuilt_indexes"] == []
    unchanged = {row["table"] for row in run.result["data"]["changed"]}
    assert "public.longer" not in unchanged


@pytest.mark.campaign
def test_a_rewrite_over_the_limit_says_no(application: Shop) -> None:
    run = rehearse(application, "ALTER TABLE purchase ALTER COLUMN id TYPE bigint", rewrite_rows=1999)
    assert run.state == RunState.FAILED
    assert run.summary == "public.purchase with 2,000 rows was rewritten; 1,999 may be."


@pytest.mark.campaign
def test_who_waits_for_a_quick_statement_in_a_slow_transaction_is_measured_and_says_no(application: Shop) -> None:
    run = rehearse(
        application, "ALTER TABLE customer ADD COLUMN nick text", "SELECT pg_sleep(0.7)", longest_stall="0.3s"
    )
    assert run.state == RunState.FAILED, (run.error, log_of(run))
    (lock,) = [row for row in run.result["locks"] if row["table"] == "public.customer"]
    assert lock["mode"] == "AccessExclusiveLock"
    spent = run.result["figures"]["command_seconds"]
    assert 0.6 < lock["seconds"] < spent
    felt = {row["who"]: row for row in run.result["stalls"] if row["by"] == "canary"}
    assert set(felt) == {"reader", "writer"}
    assert all(0.5 < row["seconds"] < spent and row["table"] == "public.customer" for row in felt.values())
    assert "public.customer would wait for" in run.summary
    assert "the limit is 0.3 s" in run.summary


def test_a_migration_that_breaks_on_the_data_says_no_and_production_is_untouched(application: Shop) -> None:
    run = rehearse(application, "ALTER TABLE customer ADD CHECK (id < 100)")
    assert run.state == RunState.FAILED, run.error
    assert "ended with exit status 1. The data do not fit what the migration demands" in run.summary
    assert run.result["mishap"]["cause"] == "data"
    assert "the clone is as it was before" in run.result["mishap"]["sentence"]
    data = run.result["data"]
    assert (data["same_tables"], data["same_columns"]) == (data["tables"], data["columns"])
    assert "violated by some row" in log_of(run)


@pytest.mark.campaign
def test_a_command_that_never_reaches_the_clone_is_no_rehearsal(application: Shop) -> None:
    run = application.run("migration", release=application.release(), command={"argv": ["true"]})
    assert run.state == RunState.ERRORED
    assert "never connected to the clone" in run.error
    assert "DATABASE_URL" in run.remedy


@pytest.mark.campaign
def test_a_command_that_migrates_production_itself_is_told(application: Shop) -> None:
    argv = [sys.executable, "-c", PSQL.replace('os.environ["DATABASE_URL"]', repr(application.address.conninfo())),
            "CREATE TABLE oops ()"]  # fmt: skip
    run = application.run("migration", release=application.release(), command={"argv": argv})
    assert run.state == RunState.ERRORED
    assert "itself changed during the rehearsal" in run.error


@pytest.mark.campaign
def test_visitors_who_may_wait_for_less_than_a_millisecond_are_not_kept_waiting(application: Shop) -> None:
    run = rehearse(application, "ALTER TABLE customer ADD COLUMN nick text", visitors_wait="0.0004s")
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert run.result["clone"]["method"] == "dump"
    assert all("need not wait longer" in why or "as long as the plan allows" in why or "shares no blocks" in why
               for _, why in run.result["clone"]["passed_over"]), run.result["clone"]  # fmt: skip


@pytest.mark.campaign
def test_a_database_in_use_is_cloned_by_dump(application: Shop) -> None:
    with psycopg.connect(application.address.conninfo()):
        run = rehearse(application, "ALTER TABLE customer ADD COLUMN nick text")
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert run.result["clone"]["method"] == "dump"
    assert [way for way, _ in run.result["clone"]["passed_over"]] == ["reflink", "file_copy"]
    assert all("connected" in why for _, why in run.result["clone"]["passed_over"])


@pytest.mark.campaign
def test_rows_that_a_migration_removes_are_counted(application: Shop) -> None:
    run = rehearse(application, "DROP TABLE event", "DELETE FROM nothing")
    assert run.state == RunState.PASSED, run.error
    assert run.result["rows"] == [
        {"table": "public.event_2025", "before": 213, "after": None},
        {"table": "public.event_2026", "before": 87, "after": None},
        {"table": "public.nothing", "before": 2, "after": 0},
    ]


@pytest.mark.campaign
def test_an_index_left_invalid_says_no(application: Shop) -> None:
    argv = [sys.executable, "-c", PSQL, "CREATE UNIQUE INDEX CONCURRENTLY twice ON purchase (customer_id)", "--auto"]
    run = application.run("migration", release=application.release(), command={"argv": argv})
    assert run.state == RunState.FAILED
    assert run.result["invalid_indexes"] == ["public.twice"]
    assert any("public.twice is left invalid" in sentence for sentence in run.result["problems"])


UNKNOWN = "The schema changed, and nothing says whether that can be reversed"


def test_a_change_of_which_nobody_knows_the_way_back_says_no(application: Shop) -> None:
    run = rehearse(application, "ALTER TABLE customer DROP COLUMN photo", irreversible={})
    assert run.state == RunState.FAILED, (run.error, run.summary)
    assert run.summary.startswith(UNKNOWN)
    assert "irreversible: {command: why}" in run.summary
    assert run.result["way_back"] == {"unknown": True, "waived": ""}


@pytest.mark.parametrize(
    "more",
    [
        {"irreversible": {"command": "The column was empty."}},
        {"irreversible": {}, "refuse_irreversible": False},
        {"irreversible": {}, "reversible_check": {"argv": ["true"]}},
    ],
    ids=["waived", "not asked for", "checked"],
)
def test_it_passes_where_the_plan_answers_for_it(application: Shop, more: dict[str, Any]) -> None:
    run = rehearse(application, "ALTER TABLE customer ADD COLUMN nick text", **more)
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))


def test_going_back_and_comparing_is_an_answer(application: Shop) -> None:
    back = {"argv": [sys.executable, "-c", PSQL, "ALTER TABLE customer DROP COLUMN nick"]}
    run = rehearse(application, "ALTER TABLE customer ADD COLUMN nick text", irreversible={}, reverse=back)
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    assert run.result["way_back"]["unknown"] is False


def test_what_changes_no_schema_needs_no_way_back(application: Shop) -> None:
    # (It wrote a value that stood there before, which is no change at all.)
    run = rehearse(application, "UPDATE customer SET discount = 7 WHERE id = 1", irreversible={})
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))


@pytest.mark.campaign
def test_what_nobody_checked_is_not_called_reversible(application: Shop) -> None:
    run = rehearse(application, "ALTER TABLE customer ADD COLUMN nick text")
    assert run.result["reversible_checked"] is False
    assert run.result["back"] is None
    run = rehearse(
        application,
        "ALTER TABLE customer ADD COLUMN nick text",
        reversible_check={"argv": ["printf", "shop.0002_forget\\nshop.0003_drop"]},
        irreversible={"shop.0003_drop": "The column was empty for a year."},
    )
    assert run.state == RunState.FAILED
    assert run.summary == "1 migration(s) cannot be reversed, and the plan does not waive them: shop.0002_forget."
    assert [row["waived"] for row in run.result["irreversible"]] == ["", "The column was empty for a year."]


@pytest.mark.campaign
def test_a_missing_program_breaks_the_check(application: Shop) -> None:
    run = application.run("migration", release=application.release(), command={"argv": ["no-such-program"]})
    assert run.state == RunState.ERRORED
    assert "no-such-program" in run.error
    assert not [name for name in databases() if name.startswith("gonogo_clone")]


def test_a_view_made_again_and_a_sequence_changed_keep_users_waiting_too(application: Shop) -> None:
    run = rehearse(
        application, "DROP VIEW big_spender", "CREATE VIEW big_spender AS SELECT 1 AS n",
        "ALTER SEQUENCE purchase_id_seq INCREMENT 2", "SELECT pg_sleep(0.7)", longest_stall="0.3s",
    )  # fmt: skip
    assert run.state == RunState.FAILED, (run.error, run.summary, log_of(run))
    waits = {(row["table"], row["who"], row["by"]): row["seconds"] for row in run.result["stalls"]}
    assert waits.get(("public.big_spender", "reader", "canary"), 0) > 0.5, waits
    assert waits.get(("public.purchase", "writer", "trace"), 0) > 0.5, waits
    assert ("public.purchase", "reader") not in {(table, who) for table, who, _ in waits}
    assert run.result["rebuilt_indexes"] == []


@pytest.mark.parametrize(
    ("table", "rows", "sql"),
    [
        ("parted", 40, ["ALTER TABLE parted ALTER m TYPE bigint"]),
        ("plain", 40, ["CREATE TABLE fresh AS TABLE plain", "ALTER TABLE plain RENAME TO plain_old",
                       "ALTER TABLE fresh RENAME TO plain"]),
        ("plain", 40, ["CREATE TABLE fresh (n integer) PARTITION BY RANGE (n)",
                       "CREATE TABLE fresh_1 PARTITION OF fresh FOR VALUES FROM (1) TO (99)",
                       "INSERT INTO fresh SELECT * FROM plain", "DROP TABLE plain",
                       "ALTER TABLE fresh RENAME TO plain"]),
        ("seen", 40, ["REFRESH MATERIALIZED VIEW seen"]),
    ],
    ids=["parts", "old one kept", "by a partitioned one", "materialized view"],
)  # fmt: skip
def test_a_rewrite_cannot_hide_from_the_limit(application: Shop, table: str, rows: int, sql: list[str]) -> None:
    application.sql("CREATE TABLE parted (n integer, m integer) PARTITION BY RANGE (n)")
    application.sql("CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (21)")
    application.sql("CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (21) TO (99)")
    application.sql("CREATE TABLE plain (n integer)")
    application.sql("INSERT INTO parted SELECT n, n FROM generate_series(1, 40) n")
    application.sql("INSERT INTO plain SELECT generate_series(1, 40)")
    application.sql("CREATE MATERIALIZED VIEW seen AS SELECT generate_series(1, 40) AS n")
    run = rehearse(application, *sql, rewrite_rows=30)
    assert run.state == RunState.FAILED, (run.error, run.summary, run.result["rewrites"])
    assert run.summary == f"public.{table} with {rows} rows was rewritten; 30 may be."


def test_tables_that_only_changed_names_were_not_rewritten(application: Shop) -> None:
    application.sql("CREATE TABLE one AS SELECT generate_series(1, 40) AS n")
    application.sql("CREATE TABLE other AS TABLE one")
    run = rehearse(application, "ALTER TABLE one RENAME TO kept", "ALTER TABLE other RENAME TO one", rewrite_rows=30)
    assert run.state == RunState.PASSED, (run.error, run.summary, run.result["rewrites"])
    assert run.result["rewrites"] == []
