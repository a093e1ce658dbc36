"""The bundle, and its verification by bare Python in another process."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from releases.domain import ledger
from releases.models import LedgerEntry, Release
from tests.ledger_support import write

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage_folder")]

Members = dict[str, bytes]


def make(folder: Path, release: Release | None = None) -> Path:
    path = folder / "bundle.zip"
    with path.open("wb") as writer:
        size = ledger.bundle(writer=writer, release=release)
    assert path.stat().st_size == size
    return path


def offline(bundle: Path, *arguments: str) -> tuple[int, str]:
    """Runs the verifier that came in the bundle, isolated from every installed package."""
    with zipfile.ZipFile(bundle) as archive:
        program = bundle.with_name("verify_ledger.py")
        program.write_bytes(archive.read("verify_ledger.py"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program), str(bundle), *arguments], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def rebuilt(bundle: Path, change: Callable[[Members], None]) -> Path:
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    forged = bundle.with_name("forged.zip")
    with zipfile.ZipFile(forged, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return forged


def lines_of(members: Members, name: str = "entries.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in members[name].splitlines()]


def put(members: Members, lines: list[dict[str, Any]], name: str = "entries.jsonl") -> None:
    members[name] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.fixture
def chain_bundle(tmp_path: Path) -> Path:
    write(3)
    ledger.checkpoint()
    write(4)
    return make(tmp_path)


def test_bare_python_verifies_a_bundle_of_the_chain(chain_bundle: Path) -> None:
    status, text = offline(chain_bundle, "--key", ledger.public_key_text())
    assert status == 0
    # Seven entries, and the download itself.
    assert text.startswith("OK: 8 entries, 2 checkpoints, newest over 8 entries")
    assert "Note" not in text


def test_without_a_key_it_says_whose_signature_it_was(chain_bundle: Path) -> None:
    status, text = offline(chain_bundle)
    assert status == 0
    assert "as found in the bundle; compare it, or give --key" in text


def test_the_download_is_an_entry_of_the_ledger(chain_bundle: Path) -> None:
    assert LedgerEntry.objects.latest("sequence").action == "ledger.exported"
    assert ledger.verify().holds


def test_it_refuses_a_bundle_that_another_key_signed(chain_bundle: Path) -> None:
    from base64 import b64encode

    other = b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    status, text = offline(chain_bundle, "--key", other)
    assert status == 1
    assert "signed by another key than the one you trust" in text


def test_the_key_may_stand_in_a_file(chain_bundle: Path) -> None:
    key = chain_bundle.with_name("key.txt")
    key.write_text(ledger.public_key_text() + "\n")
    assert offline(chain_bundle, "--key", str(key))[0] == 0


def _change(members: Members) -> None:
    lines = lines_of(members)
    lines[2]["canonical"] = lines[2]["canonical"].replace("test.happened", "test.forged")
    put(members, lines)


def _delete(members: Members) -> None:
    lines = lines_of(members)
    del lines[2]
    put(members, lines)


def _cut_the_tail(members: Members) -> None:
    put(members, lines_of(members)[:5])


def _swap(members: Members) -> None:
    lines = lines_of(members)
    lines[2], lines[3] = {**lines[3], "sequence": 3}, {**lines[2], "sequence": 4}
    put(members, lines)


def _double(members: Members) -> None:
    lines = lines_of(members)
    lines.insert(3, lines[2])
    put(members, lines)


def _forge_signature(members: Members) -> None:
    lines = lines_of(members, "checkpoints.jsonl")
    lines[0]["signature"] = lines[1]["signature"]
    put(members, lines, "checkpoints.jsonl")


def _forge_root(members: Members) -> None:
    lines = lines_of(members, "checkpoints.jsonl")
    lines[1]["statement"] = lines[1]["statement"].replace('"size":8', '"size":7')
    put(members, lines, "checkpoints.jsonl")


def _drop_checkpoint(members: Members) -> None:
    put(members, lines_of(members, "checkpoints.jsonl")[1:], "checkpoints.jsonl")


@pytest.mark.parametrize(
    ("forge", "says"),
    [
        (_change, "FAILED (changed): Entry 3 was changed"),
        (_delete, "FAILED (missing): Entry 3 is missing"),
        (_cut_the_tail, "FAILED (truncated): The chain ends at entry 5; a signed checkpoint covers 8"),
        (_swap, "FAILED (reordered): Entry 3 was reordered: it was sealed as entry 4"),
        (_double, "FAILED (inserted): Entry 3 is there twice"),
        (_forge_signature, "FAILED (checkpoint): The checkpoint over 3 entries is bad: its signature"),
        (_forge_root, "FAILED (checkpoint): The checkpoint over 7 entries is bad: its signature"),
        (_drop_checkpoint, "FAILED (checkpoint): The checkpoint over 8 entries is bad: it does not follow"),
    ],
)
def test_it_names_what_was_forged_in_a_bundle(chain_bundle: Path, forge: Callable[[Members], None], says: str) -> None:
    status, text = offline(rebuilt(chain_bundle, forge))
    assert status == 1
    assert text.startswith(says)


def test_what_is_no_bundle_cannot_be_read(tmp_path: Path, chain_bundle: Path) -> None:
    program = chain_bundle.with_name("verify_ledger.py")
    offline(chain_bundle)
    nonsense = tmp_path / "nonsense.zip"
    nonsense.write_bytes(b"nonsense")
    for path in (nonsense, tmp_path / "absent.zip"):
        done = subprocess.run([sys.executable, "-I", str(program), str(path)], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stdout.startswith("CANNOT READ")


class TestBundleOfOneRelease:
    """Only the entries of one release, each with a proof."""

    @pytest.fixture
    def release(self) -> Release:
        # The ledger knows a release by its id alone; the row itself is not needed for its entries.
        return Release(id=uuid4(), application_id=7)

    @pytest.fixture
    def release_bundle(self, tmp_path: Path, release: Release) -> Path:
        for number in range(5):
            write(2, action=f"test.number-{number}")
            write(1, action="release.changed", release=release)
        return make(tmp_path, release)

    def test_bare_python_verifies_the_proofs(self, release_bundle: Path) -> None:
        status, text = offline(release_bundle, "--key", ledger.public_key_text())
        assert status == 0
        assert text.startswith("OK: 6 entries, 1 checkpoints, newest over 16 entries")
        with zipfile.ZipFile(release_bundle) as archive:
            assert b"test.number" not in archive.read("entries.jsonl")

    def test_an_entry_that_is_not_in_the_chain_is_found(self, release_bundle: Path) -> None:
        def forge(members: Members) -> None:
            from releases.verify_ledger import seal_hash

            lines = lines_of(members)
            canonical = lines[1]["canonical"].replace("release.changed", "release.forged")
            previous = bytes.fromhex(lines[1]["previous"])
            lines[1]["canonical"] = canonical
            lines[1]["hash"] = seal_hash(previous, lines[1]["sequence"], canonical.encode()).hex()
            put(members, lines)

        status, text = offline(rebuilt(release_bundle, forge))
        assert status == 1
        assert "is not in the signed checkpoint" in text

    def test_an_entry_left_out_is_found_by_the_count(self, release_bundle: Path) -> None:
        status, text = offline(rebuilt(release_bundle, _cut_the_tail))
        assert status == 1
        assert "holds 5" in text


def test_a_long_bundle_is_streamed_in_pieces() -> None:
    from releases.domain.ledger.bundles import stream_bundle

    write(1)
    with_much = {"text": [f"{number:x}" * 40 for number in range(3000)]}
    from django.db import transaction

    for _ in range(4):
        with transaction.atomic():
            ledger.append(action="test.long", actor=None, document=with_much)
    pieces = list(stream_bundle())
    assert all(pieces)
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
