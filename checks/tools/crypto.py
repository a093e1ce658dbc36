"""Authenticated encryption of a stream in chunks, so that nothing of any length is ever whole in memory.

A sealed object is a header and chunks (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár):

    magic 8 | key id length 1, key id | key check 8 | salt 32 | nonce prefix 7 | label length 2, label
    | chunk size 4 | header tag 16
    chunk 0 | chunk 1 | ... each AES-256-GCM of at most `chunk size` bytes, and 16 bytes of tag

Numbers are big-endian. The key of an object is HKDF-SHA256 of the ring's key, the salt and the whole header. A chunk's
nonce is the prefix, its number (4 bytes) and 1 for the last chunk, else 0: a chunk that is missing, moved, doubled or
cut, or an end that is not the end, does not authenticate.
"""

import hmac
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from io import BytesIO
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from checks.errors import CheckError

MAGIC = b"GONOGO\x01\x00"
CHUNK = 256 * 1024
TAG = 16
_SALT = 32
_PREFIX = 7
_CHECK = 8


class Source(Protocol):
    """Anything that can be read from front to back."""

    def read(self, size: int, /) -> bytes: ...


class Fault(StrEnum):
    """What is wrong with a sealed object."""

    HEAD = "head"
    HEADER = "header"
    UNKNOWN_KEY = "unknown_key"
    WRONG_KEY = "wrong_key"
    CHUNK = "chunk"
    TRUNCATED = "truncated"


class SealError(Exception):
    """A sealed object that cannot be trusted. ``good``: bytes of the object, from its start, that authenticated."""

    def __init__(self, fault: Fault, message: str, *, good: int = 0) -> None:
        self.fault = fault
        self.good = good
        super().__init__(message)


@dataclass(frozen=True)
class KeyRing:
    """Keys by id, 32 bytes each. The first one seals; every one opens."""

    keys: Mapping[str, bytes]

    @classmethod
    def from_settings(cls) -> "KeyRing":
        """The ring of BACKUP_KEYS. CheckError without a key, because an unsealed backup is never written."""
        keys: Mapping[str, bytes] = getattr(settings, "BACKUP_KEYS", None) or {}
        if not keys:
            raise CheckError(
                "No backup key is set, and a backup is never written unencrypted.",
                remedy="Set BACKUP_KEYS to id:base64 of 32 random bytes, and keep a copy of it elsewhere.",
            )
        return cls(keys)

    @property
    def current(self) -> str:
        return next(iter(self.keys))

    def derive(self, key_id: str, *, salt: bytes, info: bytes, length: int = 32) -> bytes:
        """A key for one purpose. SealError when the ring has no key of that id."""
        if key_id not in self.keys:
            known = ", ".join(self.keys)
            raise SealError(Fault.UNKNOWN_KEY, f"it was sealed with key {key_id!r}, and the ring holds only: {known}")
        return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(self.keys[key_id])

    def check(self, key_id: str) -> bytes:
        """Eight bytes that tell a key from another of the same id without revealing anything of it."""
        return self.derive(key_id, salt=b"", info=b"gonogo key check 1", length=_CHECK)

    def sign(self, key_id: str, message: bytes) -> str:
        """HMAC-SHA256 in hex under a key made for manifests only."""
        key = self.derive(key_id, salt=b"", info=b"gonogo manifest 1")
        return hmac.new(key, message, sha256).hexdigest()

    def verify(self, key_id: str, message: bytes, signature: str) -> bool:
        return hmac.compare_digest(self.sign(key_id, message), signature)


@dataclass(frozen=True)
class Header:
    """What stands before the chunks. ``label`` says which object of which backup this is."""

    key_id: str
    check: bytes
    salt: bytes
    prefix: bytes
    label: str
    chunk_size: int

    def encode(self) -> bytes:
        key_id, label = self.key_id.encode(), self.label.encode()
        return b"".join(
            (
                MAGIC, struct.pack(">B", len(key_id)), key_id, self.check, self.salt, self.prefix,
                struct.pack(">H", len(label)), label, struct.pack(">I", self.chunk_size),
            )
        )  # fmt: skip

    def key(self, ring: KeyRing) -> AESGCM:
        return AESGCM(ring.derive(self.key_id, salt=self.salt, info=b"gonogo object 1" + self.encode()))

    def tag(self, ring: KeyRing) -> bytes:
        key = ring.derive(self.key_id, salt=self.salt, info=b"gonogo header 1")
        return hmac.new(key, self.encode(), sha256).digest()[:TAG]

    def nonce(self, number: int, *, last: bool) -> bytes:
        return self.prefix + struct.pack(">I", number) + (b"\x01" if last else b"\x00")


def seal(source: Iterable[bytes], *, ring: KeyRing, label: str, chunk_size: int = CHUNK) -> Iterator[bytes]:
    """Plain pieces of any size in, sealed pieces out."""
    key_id = ring.current
    header = Header(key_id, ring.check(key_id), os.urandom(_SALT), os.urandom(_PREFIX), label, chunk_size)
    cipher = header.key(ring)
    yield header.encode() + header.tag(ring)
    number = 0
    # The newest chunk is held back, because only the end of the source tells whether it is the last one.
    newest: bytes | memoryview = b""
    for chunk in _chunks(source, chunk_size):
        if number:
            yield cipher.encrypt(header.nonce(number - 1, last=False), newest, None)
        newest = chunk
        number += 1
    yield cipher.encrypt(header.nonce(max(number - 1, 0), last=True), newest, None)


def _chunks(source: Iterable[bytes], size: int) -> Iterator[bytes | memoryview]:
    """The source in chunks of ``size`` bytes, the last one shorter; copied only where a chunk spans pieces."""
    held = b""
    for piece in source:
        view = memoryview(piece)
        at = 0
        if held:
            at = size - len(held)
            held += view[:at]
            if len(held) < size:
                continue
            yield held
            held = b""
        while at + size <= len(view):
            yield view[at : at + size]
            at += size
        held = bytes(view[at:])
    if held:
        yield held


def unseal(source: Source, *, ring: KeyRing, label: str | None = None) -> Iterator[bytes]:
    """A sealed object in, its authenticated plain chunks out.

    A chunk comes out only after it authenticated; the end comes only after the final chunk did. Whoever acts on the
    pieces before the end must be able to take it back. Raises SealError. ``label`` is compared where it is given.
    """
    header, good = read_header(source, ring=ring)
    if label is not None and header.label != label:
        raise SealError(Fault.HEADER, f"it is {header.label!r} and not {label!r}")
    cipher = header.key(ring)
    number, piece = 0, read_exactly(source, header.chunk_size + TAG)
    while True:
        following = read_exactly(source, header.chunk_size + TAG)
        last = not following
        try:
            plain = cipher.decrypt(header.nonce(number, last=last), piece, None)
        except InvalidTag:
            raise _chunk_error(cipher, header, number, piece, last=last, good=good) from None
        yield plain
        good += len(piece)
        if last:
            return
        number, piece = number + 1, following


def _chunk_error(cipher: AESGCM, header: Header, number: int, piece: bytes, *, last: bool, good: int) -> SealError:
    """Tell an object that ends too early from one whose bytes are not the ones that were written."""
    if last:
        try:
            cipher.decrypt(header.nonce(number, last=False), piece, None)
        except InvalidTag:
            pass
        else:
            return SealError(Fault.TRUNCATED, f"it ends after byte {good + len(piece):,}", good=good + len(piece))
        if len(piece) < header.chunk_size + TAG:
            told = f"it ends inside the piece at byte {good:,}, or that is changed"
            return SealError(Fault.TRUNCATED, told, good=good)
    return SealError(
        Fault.CHUNK, f"bytes {good:,} to {good + len(piece):,} are not the ones that were written", good=good
    )


def read_header(source: Source, *, ring: KeyRing) -> tuple[Header, int]:
    """Read and prove the header; returns it and its length in bytes. Raises SealError."""
    magic = read_exactly(source, len(MAGIC))
    if magic != MAGIC:
        raise SealError(Fault.HEAD, "it does not begin as a sealed object begins")
    try:
        header = _parse_header(source)
    except (struct.error, UnicodeDecodeError):
        raise SealError(Fault.HEADER, "its header is cut or changed") from None
    tag = read_exactly(source, TAG)
    if len(tag) < TAG:
        raise SealError(Fault.HEADER, "its header is cut or changed")
    if not hmac.compare_digest(ring.check(header.key_id), header.check):
        raise SealError(Fault.WRONG_KEY, f"the ring's key {header.key_id!r} is not the key it was sealed with")
    if not hmac.compare_digest(header.tag(ring), tag) or not 0 < header.chunk_size <= 64 * 1024 * 1024:
        raise SealError(Fault.HEADER, "its header is cut or changed")
    return header, len(header.encode()) + TAG


def _parse_header(source: Source) -> Header:
    def number(form: str) -> int:
        return int(struct.unpack(form, read_exactly(source, struct.calcsize(form)))[0])

    def text(form: str) -> str:
        return read_exactly(source, number(form)).decode()

    return Header(
        key_id=text(">B"),
        check=read_exactly(source, _CHECK),
        salt=read_exactly(source, _SALT),
        prefix=read_exactly(source, _PREFIX),
        label=text(">H"),
        chunk_size=number(">I"),
    )


def read_exactly(source: Source, size: int) -> bytes:
    """``size`` bytes, fewer only at the end of the source; a pipe or socket may give them piecemeal."""
    piece = source.read(size)
    if len(piece) == size or not piece:
        return piece
    parts = BytesIO()
    parts.write(piece)
    while parts.tell() < size and (piece := source.read(size - parts.tell())):
        parts.write(piece)
    return parts.getvalue()
