"""How point-in-time recovery stands: what pgBackRest and WAL-G print, and what a real server says of its archiver."""

import json
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checks.errors import CheckError
from checks.kinds.wal_archive import what_is_wrong
from checks.models import Run
from checks.tools.wal_archive import READERS, Archiver, read_pgbackrest, read_wal_g
from config.services.ports import free_port
from config.services.postgres import Postgres
from tests.engine.support import application_with, check, log_text, run_section
from tests.engine.workers import until
from tests.factories import make_team
from tests.kinds_data.test_download_results import kept, offers, table
from tests.pages.test_open_pages import browser

NOW = int(datetime.now(UTC).timestamp())


def stanza(name: str = "main", code: int = 0, message: str = "ok", **backup: Any) -> dict[str, Any]:
    made = {"label": "20260603-120000F", "type": "full", "timestamp": {"start": NOW - 90, "stop": NOW - 60}, **backup}
    return {"name": name, "status": {"code": code, "message": message}, "backup": [made], "db": [], "cipher": "none"}


def test_pgbackrest_names_its_backups_its_trouble_and_faulty_pages() -> None:
    archive = read_pgbackrest(json.dumps([stanza(), stanza("other")]), "main")
    assert archive.trouble == ""
    assert archive.newest is not None
    assert (archive.newest.label, archive.newest.kind) == ("20260603-120000F", "full")
    assert archive.newest.ended_at == datetime.fromtimestamp(NOW - 60, UTC)
    assert read_pgbackrest(json.dumps([stanza(error=True)]), "").newest is None
    broken = {"name": "main", "status": {"code": 2, "message": "no valid backups"}, "backup": []}
    archive = read_pgbackrest(json.dumps([broken]), "")
    assert (archive.trouble, archive.backups) == ("no valid backups", ())


@pytest.mark.parametrize(
    ("printed", "wanted", "why"),
    [
        ([], "", "not exactly one stanza: it knows none"),
        ([stanza(), stanza("other")], "", "not exactly one stanza: it knows main, other"),
        ([stanza()], "gone", "no stanza gone: it knows main"),
        ([{"name": "main"}], "", "the stanza has no status"),
        ([stanza(timestamp={"start": 5})], "", "no time at which it ended"),
        ([stanza(timestamp={"stop": True})], "", "no time at which it ended"),
        ([stanza(timestamp={"stop": 10**15})], "", "no time at which it ended"),
        ({"main": 1}, "", "it is no list"),
    ],
)
def test_what_pgbackrest_never_prints_is_no_answer(printed: Any, wanted: str, why: str) -> None:
    with pytest.raises(CheckError, match=why):
        read_pgbackrest(json.dumps(printed), wanted)


def test_wal_g_names_its_backups_with_and_without_details() -> None:
    printed = [
        {"backup_name": "base_1", "finish_time": "2026-10-05T02:01:00Z", "time": "2026-10-05T02:01:09Z"},
        {
            "backup_name": "base_2",
            "time": "2026-10-06T02:01:00.123456789Z",
            "wal_file_name": "000000010000000000000002",
        },
    ]
    archive = read_wal_g(json.dumps(printed), "")
    assert [one.label for one in archive.backups] == ["base_1", "base_2"]
    assert archive.newest is archive.backups[1]
    assert archive.backups[0].ended_at == datetime(2026, 10, 5, 2, 1, tzinfo=UTC)
    for nothing in ("", "null\n", "[]"):
        assert read_wal_g(nothing, "").backups == ()
    for wrong in ([{"backup_name": "base_1"}], [{"time": "yesterday"}], [{"time": "2026-10-05T02:01:00"}], ["base_1"]):
        with pytest.raises(CheckError, match="So nothing is known of the archive"):
            read_wal_g(json.dumps(wrong), "")


SEGMENT = 16 * 1024 * 1024


def archiver(**facts: Any) -> Archiver:
    at = datetime(2026, 1, 2, 12, tzinfo=UTC)
    works = Archiver(
        "on", False, at, 7, "000000010000000000000007", at - timedelta(minutes=5), 0, "", None, 8 * SEGMENT + 5,
        SEGMENT, None,
    )  # fmt: skip
    return replace(works, **facts)


def test_what_would_be_lost_is_the_age_of_the_newest_archived_wal() -> None:
    assert archiver().gap_seconds == 300
    assert what_is_wrong(archiver(), timedelta(minutes=5)) == []
    (late,) = what_is_wrong(archiver(), timedelta(minutes=4))
    assert "is 5 m old; the limit is 4 m." in late
    failed_since = archiver(last_failed_at=archiver().asked_at, last_failed="000000010000000000000008")
    (failing,) = what_is_wrong(failed_since, timedelta(hours=1))
    assert failing == "Archiving fails: the last try, of 000000010000000000000008, did not succeed."
    assert what_is_wrong(archiver(last_failed_at=datetime(2026, 1, 1, tzinfo=UTC)), timedelta(hours=1)) == []


@pytest.mark.parametrize(
    ("facts", "behind"),
    [
        ({}, 0),
        ({"position": 9 * SEGMENT}, 1),
        ({"position": 507 * SEGMENT}, 499),
        ({"position": 3 * SEGMENT}, 0),  # a standby replays later than it receives
        ({"last_archived": "000000020000000100000003", "position": (256 + 9) * SEGMENT}, 5),
        ({"last_archived": "000000010000000000000007.partial"}, 0),
        ({"last_archived": "000000010000000000000001", "segment_bytes": 2**30, "position": 7 * 2**30}, 5),
        ({"last_archived": "000000010000000000000007.00000028.backup"}, None),
        ({"last_archived": "00000002.history"}, None),
        ({"last_archived": "00000002.history", "waiting": 0}, 0),
        ({"waiting": 4}, 4),
    ],
)
def test_how_far_the_archive_is_behind_is_counted_in_whole_segments(facts: dict[str, Any], behind: int | None) -> None:
    asked_of = archiver(**facts)
    assert asked_of.behind == behind
    said = what_is_wrong(asked_of, timedelta(hours=1))
    assert (said == []) is (behind in (0, 1)), said
    assert (asked_of.gap_seconds is None) is bool(said)


def test_a_standby_archives_only_where_it_always_does() -> None:
    (said,) = what_is_wrong(archiver(standby=True), timedelta(hours=1))
    assert said == "This server archives no WAL: it is a standby, and archive_mode is on."
    assert what_is_wrong(archiver(standby=True, mode="always"), timedelta(hours=1)) == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "status", "code", "backup", "timestamp", "stop", "time", "finish_time"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(max_size=30) | _JSON.map(json.dumps), tool=st.sampled_from(sorted(READERS)))
def test_rubbish_is_refused_with_a_sentence_and_never_a_traceback(text: str, tool: str) -> None:
    said = ""
    try:
        READERS[tool](text, "")
    except CheckError as error:
        said = error.message
    assert not said or said.endswith(".")


def asked(folder: Path, url: str, printed: Any, **params: Any) -> Run:
    """A run of the check, with a command that prints this and a server at this address."""
    answer = folder / "printed.json"
    answer.write_text(printed if isinstance(printed, str) else json.dumps(printed))
    command = {"argv": ["cat", str(answer)]}
    section = check(
        "wal_archive", environment="production", params={"tool": "pgbackrest", "command": command, **params}
    )
    environments = {
        name: {"tier": name, "variables": {"DATABASE_URL": url}} for name in ("staging", "production")
    }  # fmt: skip
    application = application_with({"archive": section}, folder=folder, plan={"environments": environments})
    return run_section(application, "checks.archive")


def page(run: Run) -> str:
    auditor = make_team(run.application).auditor
    return browser(auditor).get(reverse("checks:run_detail", args=[run.number])).content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_server_that_does_not_archive_says_no_whatever_the_tool_says(tmp_path: Path, settings: Any) -> None:
    more = [{"label": f"=HYPERLINK({n})", "type": "incr", "timestamp": {"start": 1, "stop": n}} for n in range(1, 60)]
    known = {**stanza(), "backup": [*stanza()["backup"], *more]}
    run = asked(tmp_path, settings.DATABASE_URL, [known])
    assert run.state == "failed", log_text(run) + run.error
    assert run.result["wrong"] == ["This server archives no WAL: archive_mode is off."]
    assert run.result["gap_seconds"] is None
    shown = page(run)
    assert "unknown" in shown
    assert "20260603-120000F" in shown
    assert "archive_mode is off" in shown
    assert run.result["left_out"] == 10
    rows = table(run, "backups.csv")
    assert [row["label"] for row in rows[:2]] == ["20260603-120000F", "'=HYPERLINK(59)"]
    assert len(rows) == len(json.loads(kept(run, "wal_archive.json"))["backups"]) == 60
    assert offers(run, "wal_archive.json", "backups.csv")


@pytest.mark.django_db(transaction=True)
def test_a_command_that_fails_or_prints_something_else_is_no_answer(tmp_path: Path, settings: Any) -> None:
    run = asked(tmp_path, settings.DATABASE_URL, "ERROR: [055]: unable to open stanza")
    assert run.state == "errored"
    assert "nothing is known of the archive" in run.error
    run = asked(tmp_path, settings.DATABASE_URL, [], command={"argv": ["false"]})
    assert run.state == "errored"


@pytest.fixture
def archiving() -> Iterator[tuple[Postgres, Path]]:
    """A server of its own that archives into a folder; pytest's own folders are closed to the user it runs as."""
    with tempfile.TemporaryDirectory(prefix="gonogo-archive-") as folder:
        archive = Path(folder) / "archive"
        Path(folder).chmod(0o711)
        extra = {
            "fsync": "off", "archive_mode": "on", "unix_socket_directories": "",
            "archive_command": f"while test -e {archive}.slow; do sleep 0.2; done; test -d {archive}"
            f" && cp %p {archive}/%f",
        }  # fmt: skip
        server = Postgres(Path(folder) / "data", free_port(), secrets.token_urlsafe(12), extra)
        server.initialise()
        archive.mkdir(mode=0o700)
        server.identity.own(archive)
        process = server.start(subprocess.DEVNULL)
        try:
            server.wait(process)
            yield server, archive
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)


@pytest.mark.campaign
@pytest.mark.django_db(transaction=True)
def test_a_real_archive_is_followed_while_it_works_and_when_it_fails(
    tmp_path: Path, archiving: tuple[Postgres, Path]
) -> None:
    server, archive = archiving

    def counted(column: str) -> bool:
        query = f"SELECT {column} > 0 FROM pg_stat_archiver"
        return bool(connection.execute(query).fetchone()[0])  # type: ignore[arg-type, index]

    with psycopg.connect(server.url(), autocommit=True) as connection:
        run = asked(tmp_path, server.url(), [stanza()])
        assert run.result["wrong"] == ["Nothing was ever archived since the server's statistics began."]
        connection.execute("CREATE TABLE moved AS SELECT 1; SELECT pg_switch_wal()")
        until(lambda: counted("archived_count"), 20)
        run = asked(tmp_path, server.url(), [stanza()])
        assert run.state == "passed", log_text(run) + run.error + run.summary
        assert 0 <= run.result["gap_seconds"] < 60
        assert run.summary.startswith("At most ")
        assert "at most " in page(run)
        late = [stanza(timestamp={"start": 1, "stop": NOW - int(timedelta(days=9).total_seconds())})]
        run = asked(tmp_path, server.url(), late)
        assert run.state == "failed"
        assert "is 9 d old; the limit is 8 d." in run.result["wrong"][0]
        archive.rename(archive.with_name("gone"))
        connection.execute("INSERT INTO moved VALUES (2); SELECT pg_switch_wal()")
        until(lambda: counted("failed_count"), 20)
        run = asked(tmp_path, server.url(), [stanza()])
        assert run.state == "failed"
        assert "Archiving fails" in run.result["wrong"][0]
        assert run.result["gap_seconds"] is None


@pytest.mark.campaign
@pytest.mark.django_db(transaction=True)
def test_an_archive_that_lags_behind_is_not_green_because_it_archived_a_moment_ago(
    tmp_path: Path, archiving: tuple[Postgres, Path]
) -> None:
    server, archive = archiving
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE moved AS SELECT 1; SELECT pg_switch_wal()")
        until(lambda: connection.execute("SELECT archived_count > 0 FROM pg_stat_archiver").fetchone() == (True,), 20)
        archive.with_name("archive.slow").touch()
        connection.execute("CREATE ROLE watcher LOGIN PASSWORD 'watcher'")
        for _ in range(5):
            connection.execute("INSERT INTO moved VALUES (2); SELECT pg_switch_wal()")
    for url in (server.url(), server.url().replace(server.url().split("//")[1].split("@")[0], "watcher:watcher")):
        run = asked(tmp_path, url, [stanza()])
        assert run.state == "failed", run.summary
        assert "Archiving lags behind" in run.result["wrong"][0]
        assert run.result["gap_seconds"] is None
        assert "segments wait" in page(run)
