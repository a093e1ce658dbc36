"""A start that cannot succeed says why in a sentence, changes nothing and ends with an error."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.platform.runner import Runner


def refused(runner: Runner) -> str:
    done = runner.command("up")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert runner.living() == []
    return done.stderr


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    runner = Runner(tmp_path / "home")
    with socket.create_server(("127.0.0.1", runner.port)):
        message = refused(runner)
    assert f"Port {runner.port} of 127.0.0.1 is taken" in message
    assert not (tmp_path / "home" / "postgres").exists()


def test_too_little_space_is_named(tmp_path: Path) -> None:
    message = refused(Runner(tmp_path / "home", GONOGO_LEAST_FREE_MIB="999999999"))
    assert "MiB are free" in message
    assert not (tmp_path / "home" / "postgres").exists()


def test_data_of_another_postgresql_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "home" / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    message = refused(Runner(tmp_path / "home"))
    assert "PostgreSQL 16" in message
    assert "PostgreSQL 18" in message
    assert [file.name for file in data.iterdir()] == ["PG_VERSION"]


def test_a_folder_with_strange_files_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "home" / "postgres"
    data.mkdir(parents=True)
    (data / "diary.txt").write_text("mine")
    assert "is not empty" in refused(Runner(tmp_path / "home"))
    assert (data / "diary.txt").read_text() == "mine"


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "home" / "keys" / "local_redis_password").mkdir(parents=True)
    message = refused(Runner(tmp_path / "home"))
    assert "cannot be read" in message
    assert "LOCAL_REDIS_PASSWORD" in message


@pytest.mark.campaign
def test_a_wrong_boolean_is_named(tmp_path: Path) -> None:
    message = refused(Runner(tmp_path / "home", DEBUG="perhaps"))
    assert "DEBUG is 'perhaps'" in message


def test_a_wrong_number_is_named(tmp_path: Path) -> None:
    assert "GONOGO_PORT is 'http'" in refused(Runner(tmp_path / "home", GONOGO_PORT="http"))


@pytest.mark.campaign
def test_a_database_elsewhere_that_does_not_answer_is_named(tmp_path: Path) -> None:
    runner = Runner(tmp_path / "home", DATABASE_URL="postgresql://me:pw@127.0.0.1:1/none")
    message = refused(runner)
    assert "DATABASE_URL" in message
    assert not (tmp_path / "home" / "postgres").exists()


@pytest.mark.campaign
def test_a_redis_elsewhere_that_does_not_answer_is_named(tmp_path: Path) -> None:
    message = refused(Runner(tmp_path / "home", REDIS_URL="redis://127.0.0.1:1/0", DATABASE_URL="postgresql://h/none"))
    assert "REDIS_URL" in message
    assert not (tmp_path / "home" / "redis" / "appendonly.aof").exists()


@pytest.mark.campaign
def test_a_wrong_database_password_is_named(tmp_path: Path) -> None:
    url = urlsplit(os.environ["DATABASE_URL"])
    wrong = url._replace(netloc=f"postgres:wrong@{url.hostname}:{url.port}").geturl()
    message = refused(Runner(tmp_path / "home", DATABASE_URL=wrong))
    assert "password authentication failed" in message
    assert "DATABASE_URL" in message


@pytest.mark.campaign
def test_a_store_elsewhere_that_does_not_answer_is_named(tmp_path: Path) -> None:
    done = Runner(tmp_path / "home", STORAGE_URL="s3://key:secret@127.0.0.1:1/bucket?tls=false").prepare("storage")
    assert done.returncode == 1
    assert "STORAGE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    assert "GONOGO_HOME" in refused(Runner(tmp_path / "home"))
