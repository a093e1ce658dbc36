"""What is compressed comes out again, whatever the pieces; a stream that ends too early does not."""

import os
from collections.abc import Iterator

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from checks.tools import dumping
from checks.tools.dumping import AHEAD, FRAME, RefusedError, compressed, decompressed


def text(size: int) -> bytes:
    """Half of it compresses, half does not."""
    return b"".join(os.urandom(8) + b"evidence" for _ in range(size // 16))


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(1, 300))
def test_pieces_of_any_size_come_out_as_they_went_in(pieces: list[bytes], piece: int) -> None:
    packed = b"".join(compressed(pieces, level=1))
    assert b"".join(decompressed(cut(packed, piece))) == b"".join(pieces)


@pytest.mark.parametrize("size", [0, FRAME - 16, FRAME, FRAME + 16, 3 * FRAME + 160])
def test_lengths_around_a_frame_come_out(size: int) -> None:
    plain = text(size)
    packed = list(compressed(cut(plain, 700_000), level=1))
    assert b"".join(decompressed(packed)) == plain


@pytest.mark.campaign
def test_memory_that_is_used_again_after_so_many_pieces_is_read_in_time() -> None:
    plain = text(12 * FRAME)
    buffers = [bytearray(FRAME) for _ in range(AHEAD + 1)]

    def pieces() -> Iterator[memoryview]:
        for number, piece in enumerate(cut(plain, FRAME)):
            buffer = buffers[number % len(buffers)]
            buffer[:] = piece
            yield memoryview(buffer)

    assert b"".join(decompressed(compressed(pieces(), level=1))) == plain


def test_the_frames_are_one_stream_to_any_zstd_and_hardly_longer_than_one_frame() -> None:
    plain = text(5 * FRAME)
    packed = b"".join(compressed([plain[:FRAME], plain[FRAME:]], level=1))
    with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as reader:
        assert reader.read() == plain
    assert len(packed) < 1.01 * len(zstandard.ZstdCompressor(level=1).compress(plain))


def test_what_compresses_to_almost_nothing_comes_out_in_pieces_all_the_same() -> None:
    packed = b"".join(compressed([bytes(FRAME)] * 20, level=1))
    assert len(packed) < 10_000
    assert [len(piece) for piece in decompressed([packed])] == [FRAME] * 20


def test_a_stream_of_one_frame_as_older_backups_have_it_comes_out() -> None:
    plain = text(3 * FRAME)
    old = zstandard.ZstdCompressor(level=1, write_checksum=True).compressobj()
    packed = old.compress(plain) + old.flush()
    assert b"".join(decompressed(cut(packed, 10_000))) == plain


def test_a_stream_that_ends_within_a_frame_or_is_changed_is_refused() -> None:
    packed = b"".join(compressed([text(FRAME), text(1600)], level=1))
    for less in (1, 500, len(packed) // 2):
        with pytest.raises(RefusedError, match="ends before its end"):
            list(decompressed([packed[:-less]]))
    changed = bytearray(packed)
    changed[len(packed) // 2] ^= 1
    with pytest.raises(RefusedError, match="damaged"):
        list(decompressed([bytes(changed)]))


def test_an_exception_of_the_source_comes_through_as_it_is() -> None:
    def source() -> Iterator[bytes]:
        yield text(FRAME)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        list(dumping.compressed(source(), level=1))
