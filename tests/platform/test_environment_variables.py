"""Reading the variables: typed, from files, and with a sentence for each mistake."""

import os
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env


@pytest.mark.parametrize(("given", "expected"), [("true", True), ("YES", True), ("1", True), ("off", False)])
def test_it_reads_a_boolean(monkeypatch: pytest.MonkeyPatch, given: str, expected: bool) -> None:
    monkeypatch.setenv("SWITCH", given)
    assert env.boolean("SWITCH", not expected) is expected


def test_it_stops_at_a_bad_boolean_and_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCH", "maybe")
    with pytest.raises(ImproperlyConfigured, match="SWITCH is 'maybe'"):
        env.boolean("SWITCH", False)


def test_it_stops_at_a_number_out_of_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "70000")
    with pytest.raises(ImproperlyConfigured, match="at least 1 and at most 65535"):
        env.integer("PORT", 1, least=1, most=65535)


def test_it_reads_a_variable_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file\n")
    monkeypatch.setenv("KEY_FILE", str(tmp_path / "key"))
    assert env.text("KEY") == "from a file"


def test_it_refuses_a_variable_given_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KEY", "one")
    monkeypatch.setenv("KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ImproperlyConfigured, match="Both KEY and KEY_FILE"):
        env.text("KEY")


def test_it_names_a_file_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KEY_FILE", str(tmp_path / "missing"))
    with pytest.raises(ImproperlyConfigured, match="KEY_FILE names"):
        env.text("KEY")


def test_it_makes_a_secret_once_and_keeps_it_private(tmp_path: Path) -> None:
    first = env.secret("LATE_KEY", tmp_path / "keys", lambda: "first", may_make=True)
    second = env.secret("LATE_KEY", tmp_path / "keys", lambda: "second", may_make=True)
    assert first == second == "first"
    assert (tmp_path / "keys" / "late_key").stat().st_mode & 0o777 == 0o600


def test_it_makes_no_secret_where_that_is_forbidden(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="LATE_KEY is not set"):
        env.secret("LATE_KEY", tmp_path / "keys", lambda: "made", may_make=False)
    assert not (tmp_path / "keys").exists()


def test_it_reads_a_database_address_with_escaped_parts() -> None:
    found = env.database("postgresql://an%40na:p%2Fw@db.example.org:6543/go?sslmode=require")
    assert (found["USER"], found["PASSWORD"], found["HOST"]) == ("an@na", "p/w", "db.example.org")
    assert (found["PORT"], found["NAME"], found["OPTIONS"]) == ("6543", "go", {"sslmode": "require"})


def test_it_reads_a_database_address_over_a_socket() -> None:
    found = env.database("postgresql:///go?host=/run/postgresql")
    assert (found["HOST"], found["NAME"], found["OPTIONS"]) == ("/run/postgresql", "go", {})


@pytest.mark.parametrize("url", ["mysql://localhost/go", "postgresql://localhost", "postgresql://host:port/go"])
def test_it_refuses_a_database_address_it_cannot_use(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
        env.database(url)


def test_it_reads_an_s3_store() -> None:
    found = env.storage("s3://key:se%2Fcret@localhost:7070/bucket?tls=false&prefix=gonogo")
    options = found["OPTIONS"]
    assert isinstance(options, dict)
    assert options["endpoint_url"] == "http://localhost:7070"
    assert (options["bucket_name"], options["secret_key"], options["location"]) == ("bucket", "se/cret", "gonogo")


@pytest.mark.parametrize("url", ["ftp://host/x", "s3://host/", "s3://host/a/b", "s3://h/b?colour=red", "file://x/y"])
def test_it_refuses_a_store_it_cannot_use(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="STORAGE_URL"):
        env.storage(url)


def test_a_file_store_keeps_its_files_private(tmp_path: Path) -> None:
    from django.core.files.base import ContentFile
    from django.core.files.storage.handler import StorageHandler

    handler = StorageHandler({"default": env.storage(tmp_path.as_uri() + "/store")})
    name = handler["default"].save("a/b.txt", ContentFile(b"x"))
    file = tmp_path / "store" / name
    assert file.stat().st_mode & 0o777 == 0o600
    assert (file.parent).stat().st_mode & 0o777 == 0o700
    assert os.listdir(file.parent) == ["b.txt"]  # noqa: PTH208 - names are compared
