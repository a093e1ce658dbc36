"""Sealed objects: whatever is done to one byte of them is noticed."""

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.tools.crypto import TAG, Fault, KeyRing, SealError, read_header, seal, unseal

RING = KeyRing({"new": b"n" * 32, "old": b"o" * 32})
CHUNK = 64


def sealed(plain: bytes, *, pieces: int = 7, ring: KeyRing = RING, label: str = "backup/database") -> bytes:
    source = [plain[at : at + pieces] for at in range(0, len(plain), pieces)]
    return b"".join(seal(source, ring=ring, label=label, chunk_size=CHUNK))


def opened(data: bytes, *, ring: KeyRing = RING, label: str | None = "backup/database") -> bytes:
    return b"".join(unseal(io.BytesIO(data), ring=ring, label=label))


def header_length(data: bytes) -> int:
    return read_header(io.BytesIO(data), ring=RING)[1]


@given(st.binary(max_size=500), st.integers(1, 200))
def test_what_goes_in_comes_out(plain: bytes, pieces: int) -> None:
    assert opened(sealed(plain, pieces=pieces)) == plain


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1])
def test_lengths_around_a_chunk_come_out(length: int) -> None:
    plain = os.urandom(length)
    assert opened(sealed(plain)) == plain


@given(st.data())
def test_any_flipped_bit_is_noticed(data: st.DataObject) -> None:
    whole = bytearray(sealed(b"x" * 300))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError):
        opened(bytes(whole))


@given(st.data())
def test_any_missing_end_is_noticed(data: st.DataObject) -> None:
    whole = sealed(b"x" * 300)
    with pytest.raises(SealError):
        opened(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(min_size=1, max_size=200))
def test_any_surplus_is_noticed(surplus: bytes) -> None:
    with pytest.raises(SealError):
        opened(sealed(b"x" * 300) + surplus)


def chunks(whole: bytes) -> tuple[bytes, list[bytes]]:
    start = header_length(whole)
    body = whole[start:]
    size = CHUNK + TAG
    return whole[:start], [body[at : at + size] for at in range(0, len(body), size)]


def test_chunks_that_are_missing_swapped_or_doubled_are_noticed() -> None:
    head, parts = chunks(sealed(os.urandom(4 * CHUNK)))
    assert len(parts) == 4
    for wrong in (parts[1:], [parts[0], *parts[2:]], parts[:3], [parts[1], parts[0], *parts[2:]], [parts[0], *parts]):
        with pytest.raises(SealError):
            opened(head + b"".join(wrong))


def test_a_chunk_of_another_object_is_noticed() -> None:
    head, parts = chunks(sealed(b"a" * 3 * CHUNK))
    _, others = chunks(sealed(b"b" * 3 * CHUNK))
    with pytest.raises(SealError):
        opened(head + parts[0] + others[1] + parts[2])


def test_an_object_that_ends_at_a_chunk_is_called_truncated() -> None:
    head, parts = chunks(sealed(b"a" * 3 * CHUNK))
    with pytest.raises(SealError) as caught:
        opened(head + parts[0] + parts[1])
    assert caught.value.fault is Fault.TRUNCATED


def test_nothing_of_a_wrong_chunk_comes_out() -> None:
    whole = bytearray(sealed(b"a" * 3 * CHUNK))
    whole[header_length(bytes(whole)) + CHUNK + TAG + 3] ^= 1
    coming_out = unseal(io.BytesIO(bytes(whole)), ring=RING)
    assert next(coming_out) == b"a" * CHUNK
    with pytest.raises(SealError):
        next(coming_out)


def test_an_older_key_still_opens_and_the_current_one_seals() -> None:
    before = sealed(b"secret", ring=KeyRing({"old": b"o" * 32}))
    assert opened(before) == b"secret"
    assert read_header(io.BytesIO(sealed(b"x")), ring=RING)[0].key_id == "new"


def test_a_key_that_was_rotated_away_and_a_wrong_key_are_told_apart() -> None:
    whole = sealed(b"secret")
    with pytest.raises(SealError) as caught:
        opened(whole, ring=KeyRing({"old": b"o" * 32}))
    assert caught.value.fault is Fault.UNKNOWN_KEY
    with pytest.raises(SealError) as caught:
        opened(whole, ring=KeyRing({"new": b"other" + b"n" * 27}))
    assert caught.value.fault is Fault.WRONG_KEY


def test_an_object_of_another_label_is_refused() -> None:
    with pytest.raises(SealError):
        opened(sealed(b"x"), label="another/database")


def test_no_two_objects_share_a_byte_after_their_common_header() -> None:
    first, second = sealed(b"x" * 100), sealed(b"x" * 100)
    start = header_length(first)
    assert first[start:] != second[start:]
    assert b"x" * 10 not in first
