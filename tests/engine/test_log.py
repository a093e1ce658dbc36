"""The log of a run: whole, in order, masked, announced after it is committed."""

import base64
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.files.storage import default_storage

from checks.models import LogChunk
from releases.domain.environment import set_secret
from tests.engine.support import application_with, check, log_lines, log_text, run_section, start
from tests.factories import check as check_section

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def application(tmp_path: Path) -> Any:
    return application_with({"command": check("test_command")}, folder=tmp_path)


def python(source: str) -> dict[str, Any]:
    return {"argv": [sys.executable, "-c", source], "timeout": 120}


@pytest.mark.campaign
def test_a_hundred_thousand_lines_are_all_there_in_order(application: Any) -> None:
    run = run_section(application, "checks.command", params=python("for n in range(100_000): print('line', n)"))
    assert run.state == "passed"
    assert log_lines(run, kinds="o") == [f"line {number}" for number in range(100_000)]
    assert run.log_lines == 100_000 + len(log_lines(run, kinds="cne"))
    for chunk in LogChunk.objects.filter(run=run):
        raw = chunk.body.encode()
        assert (len(raw), hashlib.sha256(raw).hexdigest()) == (chunk.bytes, chunk.sha256)


def test_odd_bytes_are_shown_and_keep_the_lines_apart(application: Any) -> None:
    source = (
        r"import os; os.write(1, b'bad \xff\nnul \0\r\n10%\r100%\n\x1b[31mred\x1b[0m\nU+2028 \xe2\x80\xa8 stays\nlast')"
    )
    run = run_section(application, "checks.command", params=python(source))
    assert log_lines(run, kinds="o") == [
        "bad \ufffd",
        "nul \u2400",
        "100%",
        "\x1b[31mred\x1b[0m",
        "U+2028 \u2028 stays",
        "last",
    ]


def test_secrets_never_show_in_any_form_or_place(tmp_path: Path) -> None:
    secret, url_password = 'pä/ss "w0rd"+1', "p%40ss-w0rd"
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\nAASCBKcwggSjAgEAAoIBAQC7VJTU\n-----END KEY-----"
    source = r"""
import base64, json, os, re, sys, time, urllib.parse
for name in ("TOKEN", "KEY", "PASSWORD"):
    value = os.environ[name]
    raw = value.encode()
    print(value)
    for offset in range(3):
        print(base64.b64encode(b"abc"[:offset] + raw).decode(), base64.urlsafe_b64encode(b"x" * offset + raw).decode())
    quoted = urllib.parse.quote(value, safe="")
    print(urllib.parse.quote(value), quoted, urllib.parse.quote_plus(value))
    print(re.sub("%..", lambda match: match.group().lower(), quoted))
    print(json.dumps({"value": value}), repr(value))
    sys.stdout.flush()
    for byte in raw + b"\n":
        sys.stdout.buffer.write(bytes([byte])); sys.stdout.flush(); time.sleep(0.001)
print(os.environ["DATABASE_URL"])
sys.exit(3)
"""
    staging = {
        "tier": "staging",
        "url": "http://127.0.0.1:1",
        "variables": {"DATABASE_URL": f"postgresql://app:{url_password}@127.0.0.1/app"},
        "secrets": {"TOKEN": "token", "KEY": "key", "PASSWORD": "password"},
    }
    production = {"tier": "production", "url": "http://127.0.0.1:2"}
    application = application_with(
        {"command": check_section("test_command")},
        folder=tmp_path,
        plan={"environments": {"staging": staging, "production": production}},
    )
    for name, value in (("token", secret), ("key", key), ("password", "hunter2-hunter2")):
        set_secret(application=application, name=name, value=value, actor=None)
    run = run_section(application, "checks.command", params=python(source))
    text = log_text(run) + json.dumps(run.result) + run.error + run.summary
    assert "***" in text
    for hidden in (secret, "w0rd", "MIIEvQIBADAN", "AASCBKcw", "hunter2", url_password, "p@ss"):
        assert hidden not in text, hidden
        for offset in range(3):
            core = base64.b64encode(b"\0" * offset + hidden.encode()).decode()[4:-4]
            assert len(core) < 4 or core not in text


def test_a_secret_in_an_argument_is_masked_in_the_command_line(application: Any) -> None:
    run = run_section(
        application, "checks.command", params={"secret_value": "it's hush", "argv": ["echo", "--password=it's hush"]}
    )
    assert log_lines(run, kinds="c") == ["echo '--password=***'"]
    assert log_lines(run, kinds="o") == ["--password=***"]


def test_a_secret_in_a_traceback_does_not_reach_the_worker_s_own_log(
    application: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_section(
        application, "checks.command", params={"secret_value": "hush-hush-1", "raises": "no user at hush-hush-1"}
    )
    (broken,) = [record for record in caplog.records if record.msg == "run.broken"]
    assert broken.exc_info is None
    assert "ValueError: no user at ***" in broken.exception  # type: ignore[attr-defined]
    assert "hush-hush-1" not in f"{[vars(record) for record in caplog.records]}"
    assert "ValueError: no user at ***" in run.error


def test_notes_stand_before_the_command_they_were_written_before(application: Any) -> None:
    run = run_section(
        application, "checks.command", params={"notes": ["first", "second\nthird"], "argv": ["echo", "x"]}
    )
    assert log_lines(run)[-5:] == ["first", "second", "third", "echo x", "x"]


def test_what_is_captured_is_not_logged(application: Any) -> None:
    run = run_section(
        application, "checks.command", params={"capture": True, "argv": ["sh", "-c", "echo data; echo trouble >&2"]}
    )
    assert run.result["figures"]["output"] == "data\n"
    assert log_lines(run, kinds="o") == ["trouble"]


def test_a_log_that_is_too_long_goes_on_in_storage(application: Any, settings: Any) -> None:
    settings.RUN_LOG_DATABASE_LIMIT = 50_000
    params = python("for n in range(20_000): print('line', n, 'hush-hush-1')") | {"secret_value": "hush-hush-1"}
    run = run_section(application, "checks.command", params=params)
    assert run.state == "passed"
    assert run.log_key
    assert run.log_bytes < 700_000
    kept = log_lines(run, kinds="o")
    with default_storage.open(run.log_key) as stored:
        rest = stored.read().decode().splitlines()
    assert kept + rest == [f"line {number} ***" for number in range(20_000)]
    assert any("The log is longer" in line for line in log_lines(run, kinds="n"))


@pytest.mark.parametrize(
    ("place", "said"),
    [
        # The first cannot be opened as a file, and the second takes no such lines.
        ("/proc/self", "Is a directory"),
        ("/proc/self/oom_score_adj", "Invalid argument"),
    ],
)
def test_where_the_rest_of_a_log_cannot_be_written_the_run_ends_and_says_so(
    application: Any, settings: Any, place: str, said: str
) -> None:
    settings.RUN_LOG_DATABASE_LIMIT = 50_000
    script = f"""
import os
os.symlink({place!r}, os.path.join({str(settings.SPOOL_ROOT)!r}, os.environ["GONOGO_RUN"], "1", "rest.log"))
for n in range(20_000): print("line", n)
"""
    run = run_section(application, "checks.command", params=python(script))
    assert (run.state, run.verdict) == ("errored", "errored")
    assert run.error == f"The rest of the log cannot be written on this worker: {said}. What came before is kept."
    assert "Free some space in SPOOL_ROOT" in run.remedy
    kept = log_lines(run, kinds="o")
    assert kept == [f"line {number}" for number in range(len(kept))]
    assert len(kept) > 1000
    assert run.log_sealed


def test_each_chunk_is_rung_after_it_is_committed_and_the_end_is_sealed(application: Any, settings: Any) -> None:
    from threading import Thread

    from django.db import connection

    from checks import engine

    run = start(application, "checks.command", params={"argv": ["sh", "-c", "echo one; sleep 0.3; echo two"]})
    with redis.Redis.from_url(settings.REDIS_URL) as client, client.pubsub() as ear:
        ear.subscribe(run.log_channel)
        thread = Thread(target=lambda: (engine.execute(run.pk), connection.close()))
        thread.start()
        heard: list[dict[str, Any]] = []
        deadline = time.monotonic() + 20
        while not any("sealed" in message for message in heard):
            assert time.monotonic() < deadline
            message = ear.get_message(timeout=0.1)
            if message and message["type"] == "message":
                heard.append(json.loads(message["data"]))
                if "first" in heard[-1]:
                    chunk = LogChunk.objects.get(run=run, attempt=1, first_line=heard[-1]["first"])
                    assert (chunk.lines, chunk.body) == (heard[-1]["lines"], heard[-1]["body"])
        thread.join()
    states = [message["state"] for message in heard if "state" in message]
    assert (states[0], states[-1]) == ("running", "passed")
    bodies = [line for message in heard for line in message.get("body", "").split("\n")]
    assert [line for line in bodies if line in ("one", "two")] == ["one", "two"]
    assert heard[-1]["sealed"] == sum(message.get("lines", 0) for message in heard)
