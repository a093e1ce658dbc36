"""What the target's database says of itself while it is under load. Read only, one connection, short time limits."""

import time
from collections import Counter
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from checks.kinds.base import RunContext

SAMPLE_SECONDS: Final = 1.0
TIMEOUT: Final = "SET statement_timeout = '2s'; SET lock_timeout = '500ms'"
_TOTALS: Final = """
    SELECT blks_hit AS blocks_hit, blks_read AS blocks_read, temp_bytes AS temporary_bytes, deadlocks,
           xact_commit + xact_rollback AS transactions
    FROM pg_stat_database WHERE datname = current_database()"""
_BUSY: Final = """
    SELECT coalesce(wait_event_type || ': ' || wait_event, 'nothing, it worked') AS event, count(*) AS sessions
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND state <> 'idle'
      AND pid <> pg_backend_pid() AND wait_event_type IS DISTINCT FROM 'Client'
    GROUP BY 1"""
_CONNECTIONS: Final = """
    SELECT count(*) AS taken, current_setting('max_connections')::int AS most
    FROM pg_stat_activity WHERE backend_type = 'client backend'"""
_STATEMENTS: Final = """
    SELECT queryid, left(regexp_replace(query, '\\s+', ' ', 'g'), 300) AS text, calls, total_exec_time / 1000 AS seconds
    FROM pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"""


class DatabaseWatch:
    """Statistics before and after, and the sessions in between. What cannot be read is left out, with a note."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.waits: Counter[str] = Counter()
        self.connections = 0
        self.most = 0
        self._sampled_at = 0.0
        self._before: dict[str, int] = {}
        self._statements: dict[Any, tuple[int, float]] = {}
        self._connection: psycopg.Connection[dict[str, Any]] | None = None

    def begin(self) -> None:
        section = self.context.environment
        if section.database not in {*section.secrets, *section.variables}:
            return
        try:
            self._connection = psycopg.connect(
                self.context.database_url(), autocommit=True, connect_timeout=5, row_factory=dict_row,
                application_name="gonogo load",
            )  # fmt: skip
            self._connection.execute(TIMEOUT)
            self._before = self._totals()
            self._statements = {row["queryid"]: (row["calls"], row["seconds"]) for row in self._statement_rows()}
        except psycopg.Error as error:
            self._give_up(error)

    def sample(self) -> None:
        """Who is busy with what, at most once a second."""
        if self._connection is None or time.monotonic() - self._sampled_at < SAMPLE_SECONDS:
            return
        self._sampled_at = time.monotonic()
        try:
            for row in self._connection.execute(_BUSY).fetchall():
                self.waits[row["event"]] += row["sessions"]
            row = self._connection.execute(_CONNECTIONS).fetchone() or {"taken": 0, "most": 0}
            self.connections, self.most = max(self.connections, row["taken"]), row["most"]
        except psycopg.Error as error:
            self._give_up(error)

    def end(self) -> dict[str, Any] | None:
        """What happened in between; None where the database could not be asked. Statistics lag by up to a second."""
        if self._connection is None:
            return None
        try:
            time.sleep(SAMPLE_SECONDS)
            after = self._totals()
            found: dict[str, Any] = {name: after[name] - self._before[name] for name in after}
            found["statements"] = self._grown()
        except psycopg.Error as error:
            self._give_up(error)
            return None
        finally:
            if self._connection is not None:
                self._connection.close()
        busy = sum(self.waits.values())
        found["waits"] = [
            {"event": event, "share": round(number / busy, 4)} for event, number in self.waits.most_common(5)
        ]
        return found | {"connections": self.connections, "connections_at_most": self.most}

    def _totals(self) -> dict[str, int]:
        assert self._connection is not None
        row = self._connection.execute(_TOTALS).fetchone() or {}
        return {name: int(value or 0) for name, value in row.items()}

    def _statement_rows(self) -> list[dict[str, Any]]:
        assert self._connection is not None
        there = self._connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'").fetchone()
        if there is None:
            return []
        try:
            return self._connection.execute(_STATEMENTS).fetchall()
        except psycopg.Error as error:
            self.context.note(f"pg_stat_statements cannot be read: {str(error).splitlines()[0]}")
            return []

    def _grown(self) -> list[dict[str, Any]]:
        """The statements on which most time was spent meanwhile."""
        grown = []
        for row in self._statement_rows():
            calls, seconds = self._statements.get(row["queryid"], (0, 0.0))
            if row["calls"] > calls:
                grown.append({"text": row["text"], "calls": row["calls"] - calls, "seconds": row["seconds"] - seconds})
        return sorted(grown, key=lambda one: -one["seconds"])[:5]

    def _give_up(self, error: psycopg.Error) -> None:
        self.context.note(f"The database's statistics cannot be read: {(str(error).splitlines() or ['no answer'])[0]}")
        if self._connection is not None:
            self._connection.close()
        self._connection = None
