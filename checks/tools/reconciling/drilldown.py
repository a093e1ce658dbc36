"""The second pass: in the buckets that differ, which rows differ. Exact for ever so many, in bounded memory.

Each row of such a bucket comes as 24 bytes: key hash, row hash, number of its part, place in its file. What does not
fit in memory is dealt out to a file by hash, and compared share by share.
"""

import struct
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from psycopg import sql
from psycopg.sql import SQL, Composable, Composed

from checks.tools.reconciling.matching import Pair
from checks.tools.reconciling.results import Sort
from checks.tools.reconciling.units import Buckets, Unit, cut, inside

RECORD = 24
KEY = 8
_SPLIT = struct.Struct("16s8s")
#: Rows of one side that are compared in memory at a time, about 10 MB of it.
ROWS_IN_A_SHARE = 50_000
MAX_SHARES = 1024
#: Of 8 kB; so many rows of one unit are in memory as records: 4 MB of pages are at most 3 MB of records.
PAGES_IN_A_UNIT = 512
BUFFER_BYTES = 8_000_000
#: So few ranges of keys are read through the index; more by a scan.
MAX_RANGES = 24


class Spill:
    """Records of one side, dealt out to shares; at most BUFFER_BYTES of them in memory."""

    def __init__(self, shares: int, folder: Path | None) -> None:
        self._buffers = [bytearray() for _ in range(shares)]
        self._segments: list[list[tuple[int, int]]] = [[] for _ in range(shares)]
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._held = 0

    def add(self, share: int, records: bytes) -> None:
        self._buffers[share] += records
        self._held += len(records)
        if self._held > BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, prefix="reconcile-")  # noqa: SIM115 - see close
        self._file.seek(0, 2)
        for share, buffer in enumerate(self._buffers):
            if buffer:
                self._segments[share].append((self._file.tell(), len(buffer)))
                self._file.write(buffer)
                self._buffers[share] = bytearray()
        self._held = 0

    def take(self, share: int) -> bytes:
        """All records of one share; it is empty afterwards."""
        pieces = []
        for offset, length in self._segments[share]:
            assert self._file is not None
            self._file.seek(offset)
            pieces.append(self._file.read(length))
        pieces.append(bytes(self._buffers[share]))
        self._held -= len(self._buffers[share])
        self._segments[share], self._buffers[share] = [], bytearray()
        return b"".join(pieces)

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


@dataclass(frozen=True)
class Found:
    """One differing row. A place is 8 bytes, part and ctid; None on the side that lacks the row."""

    sort: Sort
    source: bytes | None
    target: bytes | None


@dataclass
class Tallied:
    """Exact counts, and the first few of each sort."""

    cap: int
    missing: int = 0
    extra: int = 0
    changed: int = 0
    found: list[Found] = field(default_factory=list)

    def note(self, sort: Sort, source: bytes | None, target: bytes | None) -> None:
        count = getattr(self, sort) + 1
        setattr(self, sort, count)
        if count <= self.cap:
            self.found.append(Found(sort, source, target))


def compare_share(source: bytes, target: bytes, tallied: Tallied) -> None:
    """Two sets of records: rows alike drop out; what is left is matched by its key."""
    left, right = _leftover(source, target)
    waiting: dict[bytes, list[bytes]] = {}
    for hashes, place in right:
        waiting.setdefault(hashes[:KEY], []).append(place)
    for hashes, place in left:
        partners = waiting.get(hashes[:KEY])
        if partners:
            tallied.note("changed", place, partners.pop())
        else:
            tallied.note("missing", place, None)
    for places in waiting.values():
        for place in places:
            tallied.note("extra", None, place)


_Records = list[tuple[bytes, bytes]]


def _leftover(source: bytes, target: bytes) -> tuple[_Records, _Records]:
    """(hashes, place) of what one side has and the other has not, or has fewer times."""
    left, right = _places(source), _places(target)
    if len(left) * RECORD == len(source) and len(right) * RECORD == len(target):
        return (
            [(hashes, left[hashes]) for hashes in left.keys() - right.keys()],
            [(hashes, right[hashes]) for hashes in right.keys() - left.keys()],
        )
    had, has = Counter(_hashes(source)), Counter(_hashes(target))
    return _surplus(source, had - has), _surplus(target, has - had)


def _places(records: bytes) -> dict[bytes, bytes]:
    return dict(_SPLIT.iter_unpack(records))


def _hashes(records: bytes) -> Iterator[bytes]:
    return (hashes for hashes, _ in _SPLIT.iter_unpack(records))


def _surplus(records: bytes, wanted: "Counter[bytes]") -> _Records:
    """The places of so many records of each hash; rows that are alike cannot be told apart, any will do."""
    found = []
    for hashes, place in _SPLIT.iter_unpack(records):
        if wanted.get(hashes, 0) > 0:
            wanted[hashes] -= 1
            found.append((hashes, place))
    return found


@dataclass(frozen=True)
class Search:
    """What to read of a table in the second pass: the buckets that differ, dealt out to ``shares``.

    ``matched``: units of the first pass that hold the same rows on both sides, so they need not be read.
    """

    pair: Pair
    buckets: Buckets
    unequal: Sequence[int]
    shares: int
    matched: Collection[str] = ()

    @property
    def all(self) -> bool:
        return len(self.unequal) >= self.buckets.count

    def queries(self, side: int, *, by_pages: bool) -> Iterator[Composed]:
        """Queries of one side, each row (share, records)."""
        relation = self.pair.relation(side)
        if self.buckets.kind == "range":
            ranges = self.buckets.keys(self.unequal)
            if len(ranges) <= MAX_RANGES and not self.all:
                for begin, end in ranges:
                    yield self._by_key(relation.parts[0].identifier, begin, end)
                return
        for unit in cut(relation.parts, PAGES_IN_A_UNIT, by_pages=by_pages):
            if not inside(unit, self.matched):
                yield self._by_pages(unit)

    def _by_key(self, table: Composable, begin: int, end: int) -> Composed:
        key = self.pair.key_hash
        where = SQL("{0} >= {1} AND {0} < {2}").format(self.pair.key[0].stored, sql.Literal(begin), sql.Literal(end))
        return self._records(table, 0, where, key)

    def _by_pages(self, unit: Unit) -> Composed:
        where = unit.condition
        if not self.pair.key:
            return self._keyless(unit)
        if not self.all:
            where = SQL("{} AND {}").format(where, self._in_question)
        return self._records(unit.part.identifier, unit.number, where, self.pair.key_hash)

    @property
    def _in_question(self) -> Composable:
        return SQL("({}) = ANY ({}::bigint[])").format(
            self.buckets.expression(self.pair), sql.Literal("{" + ",".join(map(str, self.unequal)) + "}")
        )

    def _records(self, table: Composable, number: int, where: Composable, key: Composable) -> Composed:
        return SQL(
            "SELECT {share}, string_agg(int8send({key}) || int8send({row}) || {part}::bytea || tidsend(t.ctid),"
            " ''::bytea) FROM ONLY {table} AS t WHERE {where} GROUP BY 1"
        ).format(
            share=self._share(self.buckets.expression(self.pair)), key=key, row=self.pair.row_hash,
            part=_part(number), table=table, where=where,
        )  # fmt: skip

    def _keyless(self, unit: Unit) -> Composed:
        """In a table without a key the row's own hash is its key; OFFSET 0 keeps it from being computed twice."""
        inner = SQL("SELECT {} AS h, t.ctid AS place FROM ONLY {} AS t WHERE {} OFFSET 0").format(
            self.pair.row_hash, unit.part.identifier, unit.condition
        )
        where = SQL("true") if self.all else self._in_question
        return SQL(
            "SELECT {share}, string_agg(int8send(t.h) || int8send(t.h) || {part}::bytea || tidsend(t.place), ''::bytea)"
            " FROM ({inner}) AS t WHERE {where} GROUP BY 1"
        ).format(
            share=self._share(self.buckets.expression(self.pair)), part=_part(unit.number), inner=inner, where=where
        )

    def _share(self, bucket: Composable) -> Composable:
        return SQL("({}) % {}").format(bucket, sql.Literal(self.shares)) if self.shares > 1 else SQL("0::bigint")


def _part(number: int) -> Composable:
    return sql.Literal("\\x" + number.to_bytes(2, "big").hex())


def shares_for(rows: int) -> int:
    """How many shares keep one of them small, for so many rows of one side in the buckets in question."""
    return max(1, min(MAX_SHARES, -(-rows // ROWS_IN_A_SHARE)))
