"""The bundle that an auditor takes away: entries, checkpoints, keys, and the program that verifies them."""

import io
import json
import zipfile
from base64 import b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from django.db import transaction
from django.utils import timezone

from releases import verify_ledger
from releases.domain.canonical import at_text
from releases.domain.ledger.checkpoints import sign_checkpoint
from releases.domain.ledger.entries import append
from releases.domain.ledger.rows import read_entries
from releases.domain.ledger.tree import Tree
from releases.models.ledger import LedgerCheckpoint, LedgerEntry
from releases.models.release import Release
from releases.models.user import User
from releases.verify_ledger import BUNDLE_FORMAT, Entry

_CHUNK = 1 << 16
_BATCH = 500


def bundle(*, writer: IO[bytes], release: Release | None = None, actor: User | None = None) -> int:
    """Writes a bundle of the whole chain, or of one release, and answers its size in bytes. See `stream_bundle`."""
    size = 0
    for chunk in stream_bundle(release=release, actor=actor):
        size += writer.write(chunk)
    return size


def stream_bundle(*, release: Release | None = None, actor: User | None = None) -> Iterator[bytes]:
    """The zip file of a bundle in pieces of some 64 KiB, never the whole in memory.

    The download itself is an entry of the ledger, and a checkpoint is signed before, so that everything in the bundle
    is covered. With `release`, only its entries, each with its proof of inclusion. LedgerBroken: the chain does not
    verify.
    """
    with transaction.atomic():
        kind = "release" if release else "chain"
        append(action="ledger.exported", actor=actor, subject=release, document={"kind": kind})
    newest = sign_checkpoint()
    assert newest is not None, "the entry above is in the chain"
    return _zip(_Contents(newest, release))


class _Contents:
    """What goes into one bundle."""

    def __init__(self, newest: LedgerCheckpoint, release: Release | None) -> None:
        self.newest = newest
        self.release = release
        self.kind = "release" if release else "chain"
        rows = LedgerCheckpoint.objects.filter(size__lte=newest.size).order_by("size")
        self.checkpoints = rows if release is None else rows.filter(pk=newest.pk)
        self.count = newest.size
        if release is not None:
            self.count = _of_release(release, newest).count()

    def manifest(self) -> dict[str, Any]:
        return {
            "format": BUNDLE_FORMAT,
            "kind": self.kind,
            "entries": self.count,
            "size": self.newest.size,
            "release": str(self.release.pk) if self.release else None,
            "made_at": at_text(timezone.now()),
        }

    def keys(self) -> dict[str, str]:
        pairs = self.checkpoints.order_by("key_id").values_list("key_id", "public_key").distinct()
        return {key_id: b64encode(key).decode() for key_id, key in pairs}

    def entry_lines(self) -> Iterator[dict[str, Any]]:
        if self.release is None:
            yield from (_line(entry) for entry in read_entries(after=0, until=self.newest.size))
            return
        tree = Tree(self.newest.size)
        for row in _of_release(self.release, self.newest).order_by("sequence").iterator(_BATCH):
            sequence = row.sequence or 0
            entry = Entry(sequence, bytes(row.canonical), bytes(row.previous or b""), bytes(row.hash or b""))
            yield {**_line(entry), "proof": [node.hex() for node in tree.inclusion(sequence)]}

    def checkpoint_lines(self) -> Iterator[dict[str, Any]]:
        for row in self.checkpoints.iterator(_BATCH):
            yield {"statement": bytes(row.statement).decode(), "signature": b64encode(row.signature).decode()}


def _zip(contents: _Contents) -> Iterator[bytes]:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", _readme(contents))
        archive.writestr("verify_ledger.py", Path(verify_ledger.__file__).read_text(encoding="utf-8"))
        archive.writestr("manifest.json", json.dumps(contents.manifest(), indent=1))
        archive.writestr("keys.json", json.dumps(contents.keys(), indent=1))
        for name, lines in (
            ("checkpoints.jsonl", contents.checkpoint_lines()),
            ("entries.jsonl", contents.entry_lines()),
        ):
            yield from _member(archive, pipe, name, lines)
    yield pipe.take()


def _member(archive: zipfile.ZipFile, pipe: "_Pipe", name: str, lines: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    with archive.open(name, "w", force_zip64=True) as member:
        for line in lines:
            member.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            if pipe.waiting >= _CHUNK:
                yield pipe.take()


class _Pipe(io.RawIOBase):
    """What zipfile writes into and the stream takes out of; it cannot be sought in, so zipfile does not try."""

    def __init__(self) -> None:
        self.waiting = 0
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self.waiting += len(part)
        return len(part)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts, self.waiting = [], 0
        return data


def _of_release(release: Release, newest: LedgerCheckpoint) -> Any:
    return LedgerEntry.objects.filter(release_id=release.pk, sequence__lte=newest.size)


def _line(entry: Entry) -> dict[str, Any]:
    return {
        "sequence": entry.sequence,
        "canonical": entry.canonical.decode(errors="replace"),
        "previous": entry.previous.hex(),
        "hash": entry.hash.hex(),
    }


def _readme(contents: _Contents) -> str:
    what = f"all {contents.count} entries of the ledger"
    if contents.release is not None:
        what = f"the {contents.count} entries about release {contents.release.pk}, each with its proof of inclusion"
    return f"""Go/No-Go ledger bundle

It holds {what}.
Verify it on any machine with Python 3.8 or later and no network:

    python verify_ledger.py BUNDLE.zip --key PUBLIC_KEY

PUBLIC_KEY is the base64 text that the ledger page shows. Get it by another way than this file, from a person
you trust: without --key the signatures are checked against keys.json, which came with the bundle. For the same
reason you may prefer your own copy of verify_ledger.py to the one in here.

  entries.jsonl      each entry: sequence, canonical bytes (RFC 8785 JSON), hash of the entry before, hash
                     hash = sha256(previous || sequence as 8 bytes, big-endian || canonical)
  checkpoints.jsonl  what was signed (Ed25519): the RFC 6962 root over the first `size` hashes
  keys.json          the public keys by fingerprint (first 16 digits of their SHA-256)
  manifest.json      what this bundle is
"""
