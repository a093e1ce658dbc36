"""Every way in which a stored backup can be wrong has its own sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from checks.errors import CheckError
from checks.tools import backup, dumping, manifest, storage
from checks.tools.crypto import KeyRing, seal

KEYS = {"k2": b"2" * 32, "k1": b"1" * 32}
STEM = "backups/shop/production/20260101T000000Z-" + "ab" * 16 + "-1"


@pytest.fixture(autouse=True)
def _keys(settings: Any, storage_folder: Path) -> None:
    settings.BACKUP_KEYS = dict(KEYS)


def make(stem: str = STEM, content: bytes = b"", backup_id: str = "one") -> str:
    """A whole published backup with some megabytes of content, written by the program's own parts."""
    import os

    ring = KeyRing.from_settings()
    plain = content or os.urandom(1_500_000)
    packed = dumping.compressed([plain], level=3)
    stored = storage.write(
        f"{stem}.database", seal(packed, ring=ring, label=manifest.part_label(backup_id, "database"))
    )
    part = manifest.Part("database", stored.key, stored.size, stored.sha256, len(plain))
    document = {"format": 1, "id": backup_id, "stem": stem, "application": "shop", "environment": "production",
                "parts": [part.as_json()]}  # fmt: skip
    key = stem + manifest.SUFFIX
    storage.write(key, [manifest.sealed_text(document, ring)])
    return key


def sentence(key: str) -> str:
    with pytest.raises(CheckError) as caught:
        backup.authenticate(key)
    return caught.value.message


def database(folder: Path) -> Path:
    return folder / f"{STEM}.database"


def test_a_whole_backup_is_authentic_and_progress_reaches_its_size(storage_folder: Path) -> None:
    key = make()
    seen: list[tuple[float, float | None]] = []
    backup.authenticate(key, lambda done, total, unit: seen.append((done, total)))
    size = database(storage_folder).stat().st_size
    assert seen[-1] == (size, size)


def test_each_fault_has_a_sentence_of_its_own(storage_folder: Path, settings: Any) -> None:
    key = make()
    path = database(storage_folder)
    whole = path.read_bytes()
    told = {}

    def with_bytes(name: str, data: bytes) -> None:
        path.write_bytes(data)
        told[name] = sentence(key)

    flipped = bytearray(whole)
    flipped[700_000] ^= 4
    header = bytearray(whole)
    header[30] ^= 1
    with_bytes("head cut", whole[1:])
    with_bytes("head only", whole[:100])
    with_bytes("middle", whole[: len(whole) // 2])
    with_bytes("last byte", whole[:-1])
    with_bytes("one bit", bytes(flipped))
    with_bytes("one bit of the header", bytes(header))
    with_bytes("surplus", whole + b"!")
    with_bytes("empty", b"")
    path.unlink()
    told["missing"] = sentence(key)
    path.write_bytes(whole)
    settings.BACKUP_KEYS = {"k1": KEYS["k1"]}
    told["rotated away"] = sentence(key)
    settings.BACKUP_KEYS = {"k2": b"3" * 32}
    told["wrong key"] = sentence(key)
    settings.BACKUP_KEYS = KEYS
    other = make(STEM.replace("20260101", "20260102"), backup_id="two")
    shutil.copy(storage_folder / other, storage_folder / key)
    told["manifest of another"] = sentence(key)

    assert "cut at its beginning" in told["head cut"]
    assert "right after its beginning" in told["head only"]
    assert "cut in the middle" in told["middle"]
    assert "the last 1 of" in told["last byte"]
    assert "was changed after it was written: bytes" in told["one bit"]
    assert "was changed after it was written" in told["one bit of the header"]
    assert "1 bytes more than were written" in told["surplus"]
    assert "is empty" in told["empty"]
    assert "is missing" in told["missing"]
    assert "not in the key ring any more" in told["rotated away"]
    assert "wrong key" in told["wrong key"]
    assert "belongs to another backup" in told["manifest of another"]
    assert len(set(told.values())) == len(told)


def test_objects_of_two_backups_cannot_be_exchanged(storage_folder: Path) -> None:
    key = make()
    other = make(STEM.replace("20260101", "20260102"), backup_id="two")
    assert backup.authenticate(other)["id"] == "two"
    shutil.copy(storage_folder / f"{STEM.replace('20260101', '20260102')}.database", database(storage_folder))
    assert "it is of another backup" in sentence(key)


def test_a_manifest_that_was_edited_is_refused(storage_folder: Path) -> None:
    key = make()
    path = storage_folder / key
    document = json.loads(path.read_text())
    document["environment"] = "staging"
    path.write_text(json.dumps(document))
    assert "its signature is wrong" in sentence(key)


def test_a_manifest_that_is_cut_is_refused(storage_folder: Path) -> None:
    key = make()
    path = storage_folder / key
    path.write_bytes(path.read_bytes()[:-5])
    assert "cannot be read" in sentence(key)


def test_a_missing_manifest_is_told(storage_folder: Path) -> None:
    assert "holds no object" in sentence(STEM + manifest.SUFFIX)


def test_without_a_key_nothing_is_opened_or_sealed(settings: Any) -> None:
    key = make()
    settings.BACKUP_KEYS = {}
    assert "No backup key is set" in sentence(key)


def test_a_rotated_key_still_opens_older_backups(settings: Any) -> None:
    key = make()
    settings.BACKUP_KEYS = {"k3": b"3" * 32, **KEYS}
    assert backup.authenticate(key)["key"]["id"] == "k2"
    assert json.loads(manifest.sealed_text({}, KeyRing.from_settings()))["key"]["id"] == "k3"


def test_the_newest_published_one_is_found_and_unpublished_ones_do_not_count(storage_folder: Path) -> None:
    make()
    newer = make(STEM.replace("20260101", "20260301"), backup_id="two")
    storage.write(STEM.replace("20260101", "20260401") + ".database", [b"no manifest"])
    assert backup.newest("shop", "production").manifest_key == newer
    with pytest.raises(CheckError, match="no published backup of staging"):
        backup.newest("shop", "staging")
