"""Backups in an S3 store over real connections that lose parts, break off, fall silent and crawl."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.files.storage import default_storage

from checks.enums import RunState
from checks.errors import CheckError
from checks.models import StoredBackup
from checks.tools import manifest, storage
from tests.kinds_data.s3_server import (
    Weather,
    at_most,
    cut_after,
    reads,
    refuse,
    s3_server,
    silent_after,
    slow,
    writes_part,
)
from tests.kinds_data.support import Shop, log_of

PART = 5 * 2**20
THREE_PARTS = os.urandom(PART) * 2 + b"the end"
ONE_PIECE = os.urandom(1_000_000)


@dataclass
class Store:
    weather: Weather
    client: Any
    bucket: str = "backups"

    def names(self) -> list[str]:
        return [item["Key"] for item in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def begun_uploads(self) -> list[Any]:
        found: list[Any] = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return found


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Weather]]:
    import boto3

    with s3_server() as (host, weather):
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=f"http://{host}", **keys).create_bucket(Bucket="backups")
        yield host, weather


@pytest.fixture
def store(server: tuple[str, Weather], settings: Any) -> Iterator[Store]:
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    from config import env

    host, weather = server
    entry: Any = env.storage(f"s3://key:secret@{host}/backups?tls=false&prefix=gonogo")
    options = entry["OPTIONS"]
    # Everything as in earnest, but smaller and less patient.
    hasty = Config(read_timeout=1.5, retries={"mode": "standard", "total_max_attempts": 2})
    options["client_config"] = options["client_config"].merge(hasty)
    options["transfer_config"] = TransferConfig(PART, 2, PART)
    settings.STORAGES = {**settings.STORAGES, "default": entry}
    client = default_storage.connection.meta.client  # type: ignore[attr-defined]
    yield Store(weather, client)
    weather.rules.clear()
    for item in client.list_objects_v2(Bucket="backups").get("Contents", []):
        client.delete_object(Bucket="backups", Key=item["Key"])
    weather.seen.clear()


@pytest.fixture
def stored(store: Store) -> Store:
    storage.write("big", [ONE_PIECE])
    return store


def whole() -> bytes:
    with storage.opened("big") as source:
        return b"".join(iter(lambda: source.read(storage.READ), b""))


@pytest.mark.campaign
def test_a_backup_lives_in_it_and_one_that_is_refused_leaves_nothing(plain_shop: Shop, store: Store) -> None:
    run = plain_shop.run("backup")
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    places = sorted((key.split("/")[1], key.rsplit(".", 1)[1]) for key in store.names())
    assert places == [("backups", "database"), ("backups", "json"), ("runs", "csv"), ("runs", "json")]
    drill = plain_shop.run("drill")
    assert drill.state == RunState.PASSED, (drill.error, drill.summary, log_of(drill))
    assert StoredBackup.objects.get().look == "drilled"
    store.weather.rules.append((lambda environ: environ["REQUEST_METHOD"] == "PUT", refuse))
    drill = plain_shop.run("drill")
    assert (drill.state, drill.result["artifacts"]) == (RunState.PASSED, []), (drill.error, log_of(drill))
    assert "could not be stored" in log_of(drill)
    store.weather.rules.clear()
    database = next(key for key in store.names() if key.endswith(".database"))
    store.client.delete_object(Bucket=store.bucket, Key=database)
    drill = plain_shop.run("drill")
    assert (drill.state, "is missing" in drill.summary) == (RunState.FAILED, True)
    before = store.names()
    store.weather.rules.append((lambda environ: environ["REQUEST_METHOD"] == "PUT", refuse))
    refused = plain_shop.run("backup")
    assert refused.state == RunState.ERRORED
    assert "The storage failed" in refused.error
    assert "STORAGE_URL" in refused.remedy
    assert store.names() == before
    assert StoredBackup.objects.count() == 1


@pytest.mark.campaign
def test_retention_sees_there_too_that_an_object_is_gone(plain_shop: Shop, store: Store) -> None:
    for _ in range(2):
        assert plain_shop.run("backup").state == RunState.PASSED
    newest = StoredBackup.objects.order_by("-snapshot_at")[0]
    counts = {"hourly": 1, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0}
    dry = plain_shop.run("retention", dry=True, **counts)
    assert dry.state == RunState.PASSED, (dry.error, dry.summary)
    database = f"gonogo/{newest.manifest_key.removesuffix('.manifest.json')}.database"
    store.client.delete_object(Bucket=store.bucket, Key=database)
    run = plain_shop.run("retention", **counts)
    assert (run.state, run.result["removed"]) == (RunState.FAILED, 0)
    assert "is missing" in run.summary
    newest.refresh_from_db()
    assert newest.look == "faulty"


def begin_upload(store: Store, shop: Shop, run: str, attempt: int = 1) -> str:
    """What a worker that gets a KILL while it sends leaves: parts of an object that nothing lists."""
    folder = f"gonogo/{manifest.folder(shop.application.slug, 'production')}"
    key = f"{folder}/20260101T000000Z-{run}-{attempt}.database.partial"
    begun = store.client.create_multipart_upload(Bucket=store.bucket, Key=key)
    place = {"Bucket": store.bucket, "Key": key, "UploadId": begun["UploadId"]}
    store.client.upload_part(**place, PartNumber=1, Body=ONE_PIECE)
    return key


@pytest.mark.campaign
def test_what_a_killed_attempt_had_begun_to_send_is_taken_back_by_the_next_backup(
    plain_shop: Shop, store: Store
) -> None:
    over, unknown = plain_shop.run("backup").pk.hex, "ab" * 16
    begin_upload(store, plain_shop, over)
    begin_upload(store, plain_shop, unknown)  # perhaps another installation's, at work right now
    assert len(store.begun_uploads()) == 2
    run = plain_shop.run("backup")
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert "Took back the begun upload" in log_of(run)
    (left,) = store.begun_uploads()
    assert unknown in left["Key"]
    store.client.abort_multipart_upload(Bucket=store.bucket, Key=left["Key"], UploadId=left["UploadId"])


@pytest.mark.campaign
def test_a_store_that_does_not_list_begun_uploads_takes_a_backup_all_the_same(plain_shop: Shop, store: Store) -> None:
    store.weather.rules.append(
        (lambda environ: environ["REQUEST_METHOD"] == "GET" and "uploads" in environ["QUERY_STRING"], refuse)
    )
    run = plain_shop.run("backup")
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert "What a killed attempt may have left there stays." in log_of(run)


def test_a_part_that_is_lost_is_sent_again_and_one_lost_for_good_leaves_nothing_begun(store: Store) -> None:
    def second_part(environ: dict[str, Any]) -> bool:
        return writes_part(environ) and "partNumber=2" in environ["QUERY_STRING"]

    store.weather.rules.append((at_most(1, second_part), refuse))
    written = storage.write("big", [THREE_PARTS])
    assert storage.read_back("big") == written
    assert sum("partNumber=2" in line for line in store.weather.seen) == 2
    store.weather.rules[:] = [(second_part, refuse)]
    with pytest.raises(CheckError, match="The storage failed: bigger could not be written"):
        storage.write("bigger", [THREE_PARTS])
    assert store.names() == ["gonogo/big"]
    assert store.begun_uploads() == []


@pytest.mark.campaign
def test_what_breaks_off_or_falls_silent_is_read_on_from_there(stored: Store) -> None:
    for trouble in (cut_after(300_000), silent_after(300_000, 2.5)):
        stored.weather.rules[:] = [(at_most(1, reads), trouble)]
        stored.weather.seen.clear()
        assert whole() == ONE_PIECE
        assert sum(line.startswith("GET") for line in stored.weather.seen) >= 2


@pytest.mark.campaign
def test_a_slow_answer_is_waited_for_as_long_as_bytes_come(stored: Store) -> None:
    stored.weather.rules.append((reads, slow(5, 2.5)))
    began = time.monotonic()
    assert whole() == ONE_PIECE
    assert time.monotonic() - began > 1.5  # longer than the silence that is borne


def test_a_store_that_never_answers_whole_is_given_up_and_told(stored: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checks.tools.s3._PAUSE_SECONDS", 0.01)
    stored.weather.rules.append(
        (lambda environ: reads(environ) and "bytes=0-" not in environ["HTTP_RANGE"], cut_after(0))
    )
    stored.weather.rules.append((reads, cut_after(100_000)))
    began = time.monotonic()
    with pytest.raises(CheckError, match="The storage failed: big could not be read"):
        whole()
    assert time.monotonic() - began < 30


def test_an_object_that_is_replaced_while_it_is_read_is_noticed(stored: Store) -> None:
    stored.weather.rules.append((at_most(1, reads), cut_after(100_000)))
    with storage.opened("big") as source:
        source.read(50_000)
        stored.client.put_object(Bucket=stored.bucket, Key="gonogo/big", Body=ONE_PIECE[::-1])
        with pytest.raises(CheckError, match="was replaced or removed while it was read"):
            source.read()
