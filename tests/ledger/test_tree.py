"""The Merkle tree: roots, proofs of inclusion and of consistency, against the definition of RFC 6962."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.domain import ledger
from releases.domain.ledger.tree import Tree
from releases.errors import LedgerBroken
from releases.verify_ledger import Frontier, consistency_holds, root_from_inclusion
from tests.ledger_support import chain, tampering


def plain_root(leaves: list[bytes]) -> bytes:
    """MTH as section 2.1 of RFC 6962 writes it, without any cleverness."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + plain_root(leaves[:split]) + plain_root(leaves[split:])).digest()


def test_known_roots_of_the_certificate_transparency_reference_tree() -> None:
    """The eight leaves that the reference implementation of RFC 6962 tests with."""
    leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    frontier = Frontier()
    for leaf in leaves:
        frontier.push(bytes.fromhex(leaf))
    assert frontier.root().hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    assert Frontier().root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.integers(min_value=0, max_value=300), st.integers(min_value=0, max_value=300))
def test_a_frontier_that_was_stored_goes_on_to_the_same_root(first: int, more: int) -> None:
    leaves = [hashlib.sha256(str(number).encode()).digest() for number in range(first + more)]
    frontier = Frontier()
    for leaf in leaves[:first]:
        frontier.push(leaf)
    frontier = Frontier.from_bytes(first, frontier.to_bytes())
    for leaf in leaves[first:]:
        frontier.push(leaf)
    assert frontier.root() == plain_root(leaves)


@pytest.fixture
def long_chain(db: None, storage_folder: object) -> list[bytes]:
    """601 entries under a checkpoint: two stored subtrees and a ragged tail."""
    from django.db import transaction

    with transaction.atomic():
        for number in range(601):
            ledger.append(action="test.happened", actor=None, document={"number": number})
        ledger.seal_now()
    ledger.checkpoint()
    return [bytes(entry.hash or b"") for entry in chain()]


def test_proofs_from_the_database_lead_to_the_root_of_the_checkpoint(long_chain: list[bytes]) -> None:
    root = plain_root(long_chain)
    tree = Tree(601)
    assert tree.root() == root
    for sequence in (1, 2, 255, 256, 257, 300, 512, 513, 600, 601):
        path = tree.inclusion(sequence)
        assert root_from_inclusion(long_chain[sequence - 1], sequence - 1, 601, path) == root
        other = long_chain[sequence % 601]
        assert root_from_inclusion(other, sequence - 1, 601, path) != root


def test_a_proof_that_does_not_fit_is_refused(long_chain: list[bytes]) -> None:
    path = Tree(601).inclusion(5)
    for wrong in (path[:-1], [*path, bytes(32)]):
        with pytest.raises(ValueError, match="The proof is too"):
            root_from_inclusion(long_chain[4], 4, 601, wrong)
    with pytest.raises(ValueError, match="not among"):
        Tree(601).inclusion(602)


def test_consistency_proofs_from_the_database_hold_for_the_true_beginning_only(long_chain: list[bytes]) -> None:
    new_root = plain_root(long_chain)
    for old in (1, 2, 3, 64, 255, 256, 257, 511, 512, 600, 601):
        path = Tree(601).consistency(old)
        old_root = plain_root(long_chain[:old])
        assert consistency_holds(old, old_root, 601, new_root, path)
        assert not consistency_holds(old, plain_root(long_chain[1 : old + 1]), 601, new_root, path) or old == 601
        if path:
            assert not consistency_holds(old, old_root, 601, new_root, path[:-1])


def test_proofs_read_few_rows_through_the_stored_subtrees(
    long_chain: list[bytes], django_assert_num_queries: object
) -> None:
    with django_assert_num_queries(2):  # type: ignore[operator]
        Tree(601).inclusion(300)


def test_a_missing_node_is_told_and_not_guessed(long_chain: list[bytes]) -> None:
    with tampering() as cursor:
        cursor.execute("DELETE FROM releases_ledgernode WHERE level = 8 AND index = 0")
    with pytest.raises(LedgerBroken, match="lacks node 8/0"):
        Tree(601).inclusion(300)
    with tampering() as cursor:
        cursor.execute("DELETE FROM releases_ledgernode")


def test_every_level_of_a_completed_subtree_is_found_again() -> None:
    frontier, completed = Frontier(), []
    for number in range(8):
        completed += frontier.push(bytes([number]))
    assert [(level, index) for level, index, _node in completed] == [
        (1, 0), (1, 1), (2, 0), (1, 2), (1, 3), (2, 1), (3, 0),
    ]  # fmt: skip
    assert completed[-1][2] == frontier.root()
