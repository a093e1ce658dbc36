#!/usr/bin/env python3
"""Verifies a bundle of the Go/No-Go ledger offline, with nothing but Python 3.8 or later.

    python verify_ledger.py bundle.zip [--key PUBLIC_KEY]

It reads the bundle only, changes nothing and asks no network. Exit status: 0 everything holds, 1 something
does not (the first bad entry is named), 2 the bundle could not be read.

What it checks: each entry's hash from its canonical bytes, its place and its link to the entry before it; the
Merkle roots (RFC 6962) of all checkpoints; their Ed25519 signatures (RFC 8032); that each checkpoint names the one
before it. A bundle about one release has the proof of each entry's inclusion in a signed checkpoint instead.

The same file is a library: the program verifies its database with the functions below.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import io
import json
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

GENESIS = bytes(32)
STATEMENT_FORMAT = "gonogo ledger checkpoint 1"
BUNDLE_FORMAT = "gonogo ledger bundle 1"
# How far around its place an entry's own sequence is looked for, to tell a removal from a change.
_SEARCH = 1024


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


# --- the chain ------------------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """One sealed entry: `canonical` is its RFC 8785 JSON, `previous` and `hash` are 32 bytes."""

    sequence: int
    canonical: bytes
    previous: bytes
    hash: bytes


class Problem(NamedTuple):
    """The first thing that is wrong. `kind` is one of changed, missing, inserted, reordered, truncated, checkpoint."""

    kind: str
    sequence: int | None
    text: str


def seal_hash(previous: bytes, sequence: int, canonical: bytes) -> bytes:
    """The hash that seals an entry: sha256(previous || int8 sequence, big-endian || canonical)."""
    return _sha256(previous + struct.pack(">q", sequence) + canonical)


def leaf_hash(entry_hash: bytes) -> bytes:
    """RFC 6962 leaf: sha256(0x00 || hash of the entry)."""
    return _sha256(b"\x00" + entry_hash)


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 inner node: sha256(0x01 || left || right)."""
    return _sha256(b"\x01" + left + right)


class Frontier:
    """The roots of the complete subtrees of a growing tree, largest first: all that is needed to go on."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)
        if bin(size).count("1") != len(self.peaks):
            raise ValueError(f"A frontier over {size} entries does not have {len(self.peaks)} roots.")

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        return cls(size, [data[start : start + 32] for start in range(0, len(data), 32)])

    def to_bytes(self) -> bytes:
        return b"".join(self.peaks)

    def push(self, entry_hash: bytes) -> list[tuple[int, int, bytes]]:
        """Adds one entry; answers the subtrees completed by it as (level, index, root), level 1 and up."""
        node, level, rest = leaf_hash(entry_hash), 0, self.size
        completed = []
        while rest & 1:
            node = node_hash(self.peaks.pop(), node)
            rest >>= 1
            level += 1
            completed.append((level, rest, node))
        self.peaks.append(node)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """The RFC 6962 root of all entries so far; of none, the hash of the empty string."""
        if not self.peaks:
            return _sha256(b"")
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root


class Chain:
    """Walks over entries in their order with constant memory and stops at the first that does not hold."""

    def __init__(self, position: int = 0, last_hash: bytes = GENESIS) -> None:
        self.position = position
        self.last_hash = last_hash

    def take(self, entry: Entry, follows: Callable[[bytes], bool]) -> Problem | None:
        """Checks the next entry. `follows(hash)` tells whether any entry claims to follow that hash."""
        expected = self.position + 1
        if entry.sequence > expected:
            return Problem("missing", expected, _missing_text(expected, entry.sequence - 1))
        if entry.sequence < expected:
            return Problem("inserted", entry.sequence, f"Entry {entry.sequence} is there twice.")
        if entry.previous != self.last_hash:
            return self._unlinked(entry, follows)
        if seal_hash(self.last_hash, expected, entry.canonical) != entry.hash:
            return Problem("changed", expected, f"Entry {expected} was changed: its hash is not that of its bytes.")
        self.position = expected
        self.last_hash = entry.hash
        return None

    def _unlinked(self, entry: Entry, follows: Callable[[bytes], bool]) -> Problem:
        """Says why an entry in the right place does not link to the one before it."""
        place = entry.sequence
        sealed_as = _sealed_as(entry)
        right_one_elsewhere = follows(self.last_hash)
        if sealed_as is None:
            if right_one_elsewhere:
                return Problem("inserted", place, f"Entry {place} was inserted: it was never sealed into this chain.")
            return Problem("changed", place, f"Entry {place} was changed: neither its link nor its hash holds.")
        if sealed_as == place:
            if place == 1:
                return Problem("changed", 1, "Entry 1 does not begin the chain.")
            text = f"Entry {place - 1} was changed and sealed again: entry {place} was sealed after another one."
            return Problem("changed", place - 1, text)
        if right_one_elsewhere:
            return Problem("reordered", place, f"Entry {place} was reordered: it was sealed as entry {sealed_as}.")
        if sealed_as > place:
            text = f"Entry {place} is missing: in its place stands what was sealed as entry {sealed_as}."
            return Problem("missing", place, text)
        text = f"Entry {place - 1} was inserted: entry {place} was sealed as entry {sealed_as}."
        return Problem("inserted", place - 1, text)


def _missing_text(first: int, last: int) -> str:
    return f"Entry {first} is missing." if first == last else f"Entries {first} to {last} are missing."


def _sealed_as(entry: Entry) -> int | None:
    """The sequence under which an entry's own hash holds, looked for around its place."""
    for distance in range(_SEARCH):
        for sequence in {entry.sequence - distance, entry.sequence + distance}:
            if sequence > 0 and seal_hash(entry.previous, sequence, entry.canonical) == entry.hash:
                return sequence
    return None


# --- proofs (RFC 9162, section 2.1, which spells out the verification of RFC 6962 trees) ------------------------


def root_from_inclusion(entry_hash: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a proof of inclusion leads to. `index` counts from 0. ValueError: the path does not fit."""
    if not 0 <= index < size:
        raise ValueError(f"Entry {index + 1} is not among {size}.")
    place, last, node = index, size - 1, leaf_hash(entry_hash)
    for sibling in path:
        if last == 0:
            raise ValueError("The proof is too long.")
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise ValueError("The proof is too short.")
    return node


def consistency_holds(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the tree over `new` entries begins with the tree over the first `old` ones (1 <= old <= new)."""
    if old == new:
        return old_root == new_root and not path
    nodes = list(path)
    if old & (old - 1) == 0:
        nodes.insert(0, old_root)
    if not nodes:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    from_old = from_new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            from_old, from_new = node_hash(node, from_old), node_hash(node, from_new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            from_new = node_hash(from_new, node)
        place, last = place >> 1, last >> 1
    return last == 0 and from_old == old_root and from_new == new_root


# --- Ed25519 verification (RFC 8032, section 5.1.7), because bare Python has none --------------------------------

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_SQRT_MINUS_1 = pow(2, (_P - 1) // 4, _P)
# X, Y, Z, T: extended homogeneous coordinates
if TYPE_CHECKING:
    _Point = tuple[int, int, int, int]


def _add(left: _Point, right: _Point) -> _Point:
    a = (left[1] - left[0]) * (right[1] - right[0]) % _P
    b = (left[1] + left[0]) * (right[1] + right[0]) % _P
    c = 2 * left[3] * right[3] * _D % _P
    d = 2 * left[2] * right[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _multiply(scalar: int, point: _Point) -> _Point:
    result: _Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _decode_point(data: bytes) -> _Point | None:
    y = int.from_bytes(data, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _SQRT_MINUS_1 % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


_BASE = _decode_point((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))


def signature_holds(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature (64 bytes) over a message is of this public key (32 raw bytes)."""
    if len(public_key) != 32 or len(signature) != 64 or _BASE is None:
        return False
    key, commitment = _decode_point(public_key), _decode_point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= _ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    left, right = _multiply(scalar, _BASE), _add(commitment, _multiply(challenge, key))
    same_x = (left[0] * right[2] - right[0] * left[2]) % _P == 0
    return same_x and (left[1] * right[2] - right[1] * left[2]) % _P == 0


def key_fingerprint(public_key: bytes) -> str:
    """The name of a key: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


# --- the bundle -------------------------------------------------------------------------------------------------


class Failure(Exception):
    """Verification found a problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.text)


class Checkpoint(NamedTuple):
    """A signed statement about the first `size` entries, as it stands in a bundle or in the storage."""

    size: int
    root: bytes
    previous: str | None
    key_id: str
    statement: bytes
    signature: bytes


def read_checkpoint(data: dict[str, Any]) -> Checkpoint:
    """Reads {"statement": text, "signature": base64}. ValueError: it is not a statement of the known form."""
    statement = data["statement"].encode()
    facts = json.loads(statement)
    if facts.get("format") != STATEMENT_FORMAT:
        raise ValueError("This is not a checkpoint of the known form.")
    return Checkpoint(
        size=facts["size"],
        root=bytes.fromhex(facts["root"]),
        previous=facts["previous"],
        key_id=facts["key_id"],
        statement=statement,
        signature=base64.b64decode(data["signature"]),
    )


class Bundle:
    """A bundle, opened for verification. `pinned` is the key that the reader trusts, 32 raw bytes, if given."""

    def __init__(self, archive: zipfile.ZipFile, pinned: bytes | None = None) -> None:
        self.archive = archive
        self.manifest = json.loads(archive.read("manifest.json"))
        if self.manifest.get("format") != BUNDLE_FORMAT:
            raise ValueError("This is not a ledger bundle of the known form.")
        self.keys = {name: base64.b64decode(key) for name, key in json.loads(archive.read("keys.json")).items()}
        self.pinned = pinned

    def _lines(self, name: str) -> Iterator[dict[str, Any]]:
        with self.archive.open(name) as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="\n") as lines:
            for line in lines:
                yield json.loads(line)

    def entries(self) -> Iterator[tuple[Entry, list[bytes]]]:
        """Each entry with its proof of inclusion (empty in a bundle of the whole chain)."""
        for line in self._lines("entries.jsonl"):
            facts = (bytes.fromhex(line["previous"]), bytes.fromhex(line["hash"]))
            proof = [bytes.fromhex(node) for node in line.get("proof", [])]
            yield Entry(line["sequence"], line["canonical"].encode(), *facts), proof

    def checkpoints(self) -> list[Checkpoint]:
        """All checkpoints, oldest first, with their signatures and their links checked. Failure: one is bad."""
        found: list[Checkpoint] = []
        for line in self._lines("checkpoints.jsonl"):
            checkpoint = read_checkpoint(line)
            self._check_signature(checkpoint)
            if self.manifest["kind"] == "chain":
                before = hashlib.sha256(found[-1].statement).hexdigest() if found else None
                if checkpoint.previous != before or (found and checkpoint.size <= found[-1].size):
                    raise _checkpoint_failure(checkpoint, "it does not follow the checkpoint before it")
            found.append(checkpoint)
        return found

    def _check_signature(self, checkpoint: Checkpoint) -> None:
        key = self.keys.get(checkpoint.key_id)
        if key is None or key_fingerprint(key) != checkpoint.key_id:
            raise _checkpoint_failure(checkpoint, "its key is not in the bundle")
        if not signature_holds(key, checkpoint.statement, checkpoint.signature):
            raise _checkpoint_failure(checkpoint, "its signature does not hold")

    def verify(self) -> dict[str, Any]:
        """Checks everything and answers the counts. Failure: the first thing that is wrong."""
        checkpoints = self.checkpoints()
        if checkpoints and self.pinned is not None and checkpoints[-1].key_id != key_fingerprint(self.pinned):
            raise _checkpoint_failure(checkpoints[-1], "it is signed by another key than the one you trust")
        check = self._verify_chain if self.manifest["kind"] == "chain" else self._verify_proofs
        count = check(checkpoints)
        if count != self.manifest["entries"]:
            text = f"The bundle says {self.manifest['entries']} entries and holds {count}."
            raise Failure(Problem("truncated", count + 1, text))
        size = checkpoints[-1].size if checkpoints else 0
        return {"entries": count, "checkpoints": len(checkpoints), "size": size}

    def _verify_chain(self, checkpoints: Sequence[Checkpoint]) -> int:
        chain, frontier, waiting = Chain(), Frontier(), list(reversed(checkpoints))
        for entry, _proof in self.entries():
            problem = chain.take(entry, self._follows)
            if problem:
                raise Failure(problem)
            frontier.push(entry.hash)
            while waiting and waiting[-1].size == frontier.size:
                checkpoint = waiting.pop()
                if checkpoint.root != frontier.root():
                    raise _checkpoint_failure(checkpoint, "its root is not that of the entries")
        if waiting:
            text = f"The chain ends at entry {chain.position}; a signed checkpoint covers {waiting[0].size}."
            raise Failure(Problem("truncated", chain.position + 1, text))
        return chain.position

    def _verify_proofs(self, checkpoints: Sequence[Checkpoint]) -> int:
        count = 0
        for entry, proof in self.entries():
            count += 1
            if seal_hash(entry.previous, entry.sequence, entry.canonical) != entry.hash:
                raise Failure(Problem("changed", entry.sequence, f"Entry {entry.sequence} was changed."))
            try:
                root = root_from_inclusion(entry.hash, entry.sequence - 1, checkpoints[-1].size, proof)
            except (ValueError, IndexError):
                root = b""
            if not checkpoints or root != checkpoints[-1].root:
                text = f"Entry {entry.sequence} is not in the signed checkpoint."
                raise Failure(Problem("inserted", entry.sequence, text))
        return count

    def _follows(self, last_hash: bytes) -> bool:
        return any(entry.previous == last_hash for entry, _proof in self.entries())


def _checkpoint_failure(checkpoint: Checkpoint, why: str) -> Failure:
    return Failure(Problem("checkpoint", None, f"The checkpoint over {checkpoint.size} entries is bad: {why}."))


def read_key(text: str) -> bytes:
    """A public key given as base64, or as the name of a file that holds it so; 32 raw bytes."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        with open(text, encoding="ascii") as file:  # noqa: PTH123 - the name comes as text
            key = base64.b64decode(file.read().strip(), validate=True)
    if len(key) != 32:
        raise ValueError(f"A public key has 32 bytes, this one has {len(key)}.")
    return key


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Verifies a bundle of the Go/No-Go ledger offline.")
    parser.add_argument("bundle", help="the downloaded zip file")
    parser.add_argument("--key", help="the public key you trust (base64 or a file), got by another way than the bundle")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        pinned = read_key(options.key) if options.key else None
        with zipfile.ZipFile(options.bundle) as archive:
            bundle = Bundle(archive, pinned)
            counts = bundle.verify()
    except Failure as failure:
        sys.stdout.write(f"FAILED ({failure.problem.kind}): {failure.problem.text}\n")
        return 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        sys.stdout.write(f"CANNOT READ: {type(error).__name__}: {error}\n")
        return 2
    seconds = time.monotonic() - started
    sys.stdout.write(f"OK: {counts['entries']} entries, {counts['checkpoints']} checkpoints, ")
    sys.stdout.write(f"newest over {counts['size']} entries ({seconds:.1f} s)\n")
    uncovered = counts["entries"] - counts["size"] if bundle.manifest["kind"] == "chain" else 0
    if uncovered > 0:
        sys.stdout.write(f"Note: the last {uncovered} entries are chained but not yet under a signed checkpoint.\n")
    if pinned is None:
        names = ", ".join(sorted(bundle.keys)) or "none"
        sys.stdout.write(f"Note: signed by key {names} as found in the bundle; compare it, or give --key.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
