"""Proofs over the Merkle tree (RFC 6962) of the entries, read from the entries and the stored subtree roots."""

from releases.errors import LedgerBroken
from releases.models.ledger import LedgerEntry, LedgerNode
from releases.verify_ledger import leaf_hash, node_hash

# Subtrees of 256, 65,536... entries are stored: a proof then reads some hundred rows, however long the chain is.
STORED_LEVELS = 8
_KEEP_AT_MOST = 200_000
_FETCH_AT_ONCE = 5_000


class Tree:
    """The tree over the first `size` entries, where `size` is that of a checkpoint. Nodes read are kept for reuse."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._known: dict[tuple[int, int], bytes] = {}
        self._missing: set[tuple[int, int]] = set()

    def root(self) -> bytes:
        """The root over all `size` entries."""
        return self._resolve([(0, self.size)])[0]

    def inclusion(self, sequence: int) -> list[bytes]:
        """The audit path of the entry with this sequence (from 1), from the leaf up. ValueError: it is not inside."""
        if not 1 <= sequence <= self.size:
            raise ValueError(f"Entry {sequence} is not among the first {self.size}.")
        ranges, place, start, end = [], sequence - 1, 0, self.size
        while end - start > 1:
            middle = start + _split(end - start)
            if place < middle:
                ranges.append((middle, end))
                end = middle
            else:
                ranges.append((start, middle))
                start = middle
        return self._resolve(ranges[::-1])

    def consistency(self, old: int) -> list[bytes]:
        """The proof that this tree begins with the one over the first `old` entries. ValueError: it cannot."""
        if not 1 <= old <= self.size:
            raise ValueError(f"A tree over {self.size} entries does not begin with {old}.")
        ranges: list[tuple[int, int]] = []
        start, end, whole = 0, self.size, True
        while old != end:
            middle = start + _split(end - start)
            if old <= middle:
                ranges.append((middle, end))
                end = middle
            else:
                ranges.append((start, middle))
                start, whole = middle, False
        if not whole:
            ranges.append((start, end))
        return self._resolve(ranges[::-1])

    def _resolve(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        """The roots over ranges of leaves [start, end), after one pass that only finds out what must be read."""
        if len(self._known) > _KEEP_AT_MOST:
            self._known.clear()
        for start, end in ranges:
            self._over(start, end)
        if self._missing:
            self._fetch()
        return [self._over(start, end) for start, end in ranges]

    def _over(self, start: int, end: int) -> bytes:
        width = end - start
        if width & (width - 1) == 0 and start % width == 0:
            level = width.bit_length() - 1
            return self._node(level, start >> level)
        middle = start + _split(width)
        return node_hash(self._over(start, middle), self._over(middle, end))

    def _node(self, level: int, index: int) -> bytes:
        known = self._known.get((level, index))
        if known is not None:
            return known
        if level % STORED_LEVELS == 0:
            self._missing.add((level, index))
            return b""
        node = node_hash(self._node(level - 1, 2 * index), self._node(level - 1, 2 * index + 1))
        if not self._missing:
            self._known[(level, index)] = node
        return node

    def _fetch(self) -> None:
        wanted, self._missing = sorted(self._missing), set()
        for first in range(0, len(wanted), _FETCH_AT_ONCE):
            self._fetch_some(wanted[first : first + _FETCH_AT_ONCE])
        absent = [place for place in wanted if place not in self._known]
        if absent:
            level, index = absent[0]
            raise LedgerBroken(f"The tree of the ledger lacks node {level}/{index}. Run `manage.py verify_ledger`.")

    def _fetch_some(self, wanted: list[tuple[int, int]]) -> None:
        leaves = [index + 1 for level, index in wanted if level == 0]
        for sequence, entry_hash in LedgerEntry.objects.filter(sequence__in=leaves).values_list("sequence", "hash"):
            self._known[(0, (sequence or 0) - 1)] = leaf_hash(bytes(entry_hash or b""))
        for level in sorted({level for level, _index in wanted if level}):
            indexes = [index for its_level, index in wanted if its_level == level]
            for node in LedgerNode.objects.filter(level=level, index__in=indexes):
                self._known[(level, node.index)] = bytes(node.hash)


def _split(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << (width - 1).bit_length() - 1
