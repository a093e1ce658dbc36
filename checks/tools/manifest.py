"""The manifest of a backup: what publishes it, and what proves that its objects are the ones that were written."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import IO, Any

from checks.errors import CheckError
from checks.tools import storage
from checks.tools.crypto import Fault, KeyRing, SealError, read_header, unseal
from checks.tools.schema import Depth


class UnusableBackupError(CheckError):
    """The backup itself is at fault: a drill of it says no, whatever else works."""


#: 2: rows are hashed column after column (``row_hash.chained``), and the compressed stream is one of many frames.
#: 3 and 4: the schema is looked at more closely; see ``schema.Depth``.
FORMAT = 4
_READ_FORMATS = (1, 2, 3, FORMAT)
MAX_BYTES = 64 * 1024 * 1024
SUFFIX = ".manifest.json"
#: Folder below an environment's backups for what a test of the gate puts there; it is never listed as a backup.
ASIDE = "gate-test"
#: Those of before say no milliseconds.
_NAME = re.compile(
    r"(?P<time>\d{8}T\d{6})(?P<milliseconds>\d{3})?Z-(?P<run>[0-9a-f]{32})-(?P<attempt>\d+)\.(?P<rest>.+)"
)

Progress = Callable[[float, float | None, str], None]


@dataclass(frozen=True)
class Part:
    """One sealed object of a backup. ``plain_size``: bytes before compression and sealing."""

    name: str
    key: str
    size: int
    sha256: str
    plain_size: int

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("name", "key", "size", "sha256", "plain_size")}

    def label(self, backup_id: str) -> str:
        return part_label(backup_id, self.name)


def part_label(backup_id: str, name: str) -> str:
    """What the header of a sealed object says of itself."""
    return f"{backup_id}/{name}"


def folder(application: str, environment: str) -> str:
    return f"backups/{application}/{environment}"


def stem(application: str, environment: str, *, moment: datetime, run: str, attempt: int) -> str:
    """The common beginning of a backup's object names; sorts by time. ``run``: 32 hex digits."""
    time, milliseconds = moment.astimezone(UTC), moment.microsecond // 1000
    return f"{folder(application, environment)}/{time:%Y%m%dT%H%M%S}{milliseconds:03}Z-{run}-{attempt}"


def stem_aside(application: str, environment: str, run: str) -> str:
    """The beginning of the names of what a test of the gate (``run``: 32 hex digits) puts there, and removes again."""
    return f"{folder(application, environment)}/{ASIDE}/{run}"


def sealed_text(document: Mapping[str, Any], ring: KeyRing) -> bytes:
    """The manifest as it is stored, signed with the ring's current key."""
    signed = {**document, "key": {"id": ring.current, "check": ring.check(ring.current).hex()}}
    return json.dumps({**signed, "signature": ring.sign(ring.current, _canonical(signed))}, indent=1).encode()


def _canonical(document: Mapping[str, Any]) -> bytes:
    unsigned = {name: value for name, value in document.items() if name != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":")).encode()


def load(key: str, ring: KeyRing | None = None) -> dict[str, Any]:
    """Read and prove a manifest. CheckError: missing, not a manifest, unknown or wrong key, changed, or moved."""
    with storage.opened(key) as source:
        data = source.read(MAX_BYTES)
    try:
        document = json.loads(data)
        known, signature = document["key"], document["signature"]
        key_id, check = known["id"], bytes.fromhex(known["check"])
        valid = document["format"] in _READ_FORMATS
    except (ValueError, KeyError, TypeError):
        raise UnusableBackupError(f"The manifest {key} is damaged: it cannot be read.", remedy=_OLDER) from None
    if not valid:
        told = f"The manifest {key} is of format {document['format']}, and this program reads up to {FORMAT}."
        raise UnusableBackupError(told)
    ring = ring or KeyRing.from_settings()
    if key_id not in ring.keys:
        raise UnusableBackupError(
            f"The backup {key} was sealed with key {key_id!r}, which is not in the key ring any more.",
            remedy="Add that key to BACKUP_KEYS again, after the current one.",
        )
    if ring.check(key_id) != check:
        raise UnusableBackupError(
            f"The backup {key} was sealed with another key than the one now called {key_id!r}: wrong key.",
            remedy="Put the right key under that name into BACKUP_KEYS.",
        )
    if not isinstance(signature, str) or not ring.verify(key_id, _canonical(document), signature):
        raise UnusableBackupError(
            f"The manifest {key} was changed after it was written: its signature is wrong.", remedy=_OLDER
        )
    if document["stem"] != key.removesuffix(SUFFIX):
        raise UnusableBackupError(
            f"The manifest {key} belongs to another backup, {document['stem']}.",
            remedy="Somebody moved or copied it. Put the right manifest back, or use another backup.",
        )
    assert isinstance(document, dict)
    return document


#: An object that misses at most this many bytes is cut at its end; one that has no more is only a beginning.
_ENDS = 1024
_OLDER = "Do not use this backup. Use an older one, and find out who writes to the storage."


def chained(document: Mapping[str, Any]) -> bool:
    """Whether the checksums in a manifest were taken column after column; see ``row_hash``."""
    return int(document["format"]) > 1


def schema_depth(document: Mapping[str, Any]) -> Depth:
    """How closely the schema in a manifest was looked at."""
    return {1: Depth.LOOSE, 2: Depth.LOOSE, 3: Depth.EXACT}.get(int(document["format"]), Depth.WHOLE)


def parts(document: Mapping[str, Any]) -> dict[str, Part]:
    return {part["name"]: Part(**part) for part in document["parts"]}


def published(application: str, environment: str) -> list[str]:
    """Keys of the manifests of an environment, newest first."""
    where = folder(application, environment)
    return [f"{where}/{name}" for name in reversed(storage.names(where)) if name.endswith(SUFFIX) and _NAME.match(name)]


def moment_of(key: str) -> datetime | None:
    """The time in a backup's name, UTC."""
    match = _NAME.match(key.rsplit("/", 1)[-1])
    if match is None:
        return None
    time = datetime.strptime(match["time"], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return time + timedelta(milliseconds=int(match["milliseconds"] or 0))


def snapshot_text(document: Mapping[str, Any]) -> str:
    """When the data stood as it is in the backup, for people: '2026-11-23 17:43:47 UTC'."""
    return f"{datetime.fromisoformat(document['snapshot_at']).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def unpublished(application: str, environment: str) -> list[tuple[str, str, int]]:
    """Objects that no manifest publishes: (key, run as 32 hex digits, attempt)."""
    where = folder(application, environment)
    names = storage.names(where)
    stems = {name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)}
    found = []
    for name in names:
        match = _NAME.match(name)
        if match and name.split(".", 1)[0] not in stems:
            found.append((f"{where}/{name}", match["run"], int(match["attempt"])))
    return found


def begun(application: str, environment: str) -> list[tuple[str, str, str, int]]:
    """Uploads that were begun and not finished: (key, upload id, run as 32 hex digits, attempt)."""
    where = folder(application, environment)
    return [
        (f"{where}/{name}", upload, match["run"], int(match["attempt"]))
        for name, upload in storage.begun_uploads(where)
        if (match := _NAME.match(name))
    ]


def remove(key: str) -> None:
    """Take a published backup out of storage, its manifest first: without it the other objects are nothing.

    CheckError when storage refuses. Objects left without a manifest are removed by the next backup of that place.
    """
    where, _, name = key.rpartition("/")
    stem_name = name.removesuffix(SUFFIX)
    storage.remove_surely(key)
    for other in storage.names(where):
        if other.startswith(f"{stem_name}."):
            storage.remove_surely(f"{where}/{other}")


def newest_key(application: str, environment: str) -> str:
    """The key of the newest manifest. CheckError when nothing was published."""
    keys = published(application, environment)
    if not keys:
        raise CheckError(
            f"There is no published backup of {environment} of {application}.", remedy="Run a backup of it first."
        )
    return keys[0]


def stands(document: Mapping[str, Any]) -> None:
    """See that every part is there and as long as it was written; nothing is read. UnusableBackupError names one."""
    for part in parts(document).values():
        try:
            size = storage.size(part.key)
        except storage.MissingObjectError:
            raise _gone(part) from None
        if size != part.size:
            raise UnusableBackupError(
                f"The object {part.key} has {size:,} bytes, and {part.size:,} were written.", remedy=_OLDER
            )


def _gone(part: Part) -> UnusableBackupError:
    return UnusableBackupError(f"The object {part.key} of the backup is missing.", remedy=_OLDER)


def authenticate(document: Mapping[str, Any], ring: KeyRing, progress: Progress | None = None) -> None:
    """Read every byte of every part and prove it. CheckError says which part is wrong, and how."""
    found = parts(document)
    total, before = sum(part.size for part in found.values()), 0
    for part in found.values():

        def seen(size: int, before: int = before) -> None:
            if progress is not None:
                progress(before + size, total, "bytes")

        _authenticate_part(part, part.label(document["id"]), ring, seen)
        before += part.size


class _Proving:
    """Counts and hashes an object while it is unsealed."""

    def __init__(self, source: IO[bytes], seen: Callable[[int], None]) -> None:
        self._source, self._seen = source, seen
        self._hash = sha256()
        self.size = 0

    def read(self, size: int, /) -> bytes:
        piece = self._source.read(size)
        self._hash.update(piece)
        self.size += len(piece)
        self._seen(self.size)
        return piece

    def finish(self) -> str:
        while self.read(storage.READ):
            pass
        return self._hash.hexdigest()


def _authenticate_part(part: Part, label: str, ring: KeyRing, seen: Callable[[int], None]) -> None:
    failure: SealError | None = None
    try:
        with storage.opened(part.key) as source:
            proving = _Proving(source, seen)
            try:
                for _ in unseal(proving, ring=ring):
                    pass
            except SealError as error:
                failure = error
            digest = proving.finish()
    except storage.MissingObjectError:
        raise _gone(part) from None
    if failure is None and (proving.size, digest) == (part.size, part.sha256):
        with storage.opened(part.key) as source:
            _prove_label(source, label, ring, part)
        return
    raise _told(part, failure, proving.size, same_bytes=digest == part.sha256)


def _prove_label(source: IO[bytes], label: str, ring: KeyRing, part: Part) -> None:
    header, _ = read_header(source, ring=ring)
    if header.label != label:
        raise UnusableBackupError(
            f"{part.key} belongs to another backup ({header.label}) than its manifest ({label}).", remedy=_OLDER
        )


def _told(part: Part, failure: SealError | None, size: int, *, same_bytes: bool) -> CheckError:
    """What is wrong with a part, in one sentence of its own for each way to be wrong."""
    lost = part.size - size
    name = f"The object {part.key}"
    if failure is None:
        return UnusableBackupError(
            f"{name} is a whole sealed object, but not the one that the manifest describes: it is of another backup.",
            remedy=_OLDER,
        )
    if same_bytes and failure.fault is Fault.UNKNOWN_KEY:
        return UnusableBackupError(f"{name} cannot be opened: {failure}.", remedy="Add that key to BACKUP_KEYS again.")
    if same_bytes and failure.fault is Fault.WRONG_KEY:
        return UnusableBackupError(f"{name} cannot be opened: {failure}: wrong key.", remedy="Put the right key there.")
    if size == 0:
        return UnusableBackupError(f"{name} is empty; {part.size:,} bytes were written.", remedy=_OLDER)
    if lost < 0:
        return UnusableBackupError(f"{name} has {-lost:,} bytes more than were written.", remedy=_OLDER)
    if lost == 0:
        return UnusableBackupError(f"{name} was changed after it was written: {failure}.", remedy=_OLDER)
    if failure.fault is Fault.HEAD:
        told = f"{name} is cut at its beginning: {lost:,} of {part.size:,} bytes are missing."
        return UnusableBackupError(told, remedy=_OLDER)
    if lost <= min(_ENDS, size):
        return UnusableBackupError(
            f"{name} is cut at its end: the last {lost:,} of {part.size:,} byte(s) are missing.", remedy=_OLDER
        )
    if failure.good == 0 or size <= _ENDS:
        return UnusableBackupError(
            f"{name} is cut right after its beginning: only {size:,} of {part.size:,} bytes are there.", remedy=_OLDER
        )
    return UnusableBackupError(
        f"{name} is cut in the middle: it ends after {size:,} of {part.size:,} bytes.", remedy=_OLDER
    )


@contextmanager
def plain(document: Mapping[str, Any], name: str, ring: KeyRing) -> Iterator[Iterator[bytes]]:
    """The plain (still compressed) pieces of a part, each authenticated; wrong bytes come out as CheckError."""
    part = parts(document)[name]
    with storage.opened(part.key) as source:

        def pieces() -> Iterator[bytes]:
            try:
                yield from unseal(source, ring=ring, label=part.label(document["id"]))
            except SealError as error:
                told = f"The object {part.key} changed while it was read: {error}."
                raise UnusableBackupError(told, remedy=_OLDER) from None

        yield pieces()
