"""Secrets in a stream of bytes, however it is cut."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from checks.lines import LONGEST_LINE, LineCutter
from checks.masking import Masker, Vocabulary, base64_words, forms

SECRET = st.text(st.characters(codec="utf-8"), min_size=6, max_size=40).filter(lambda text: len(text.strip()) >= 6)
PLAIN = st.binary(max_size=60)


def mask(secrets: list[str], data: bytes, cuts: list[int] | None = None) -> bytes:
    vocabulary = Vocabulary()
    vocabulary.add(secrets)
    masker = Masker(vocabulary)
    out, last = b"", 0
    for cut in sorted({min(cut, len(data)) for cut in cuts or []} | {len(data)}):
        out += masker.feed(data[last:cut])
        last = cut
    return out + masker.finish()


@given(st.lists(SECRET, min_size=1, max_size=3), st.data())
@settings(max_examples=300, deadline=None)
def test_no_form_of_a_secret_comes_through(secrets: list[str], data: st.DataObject) -> None:
    every = sorted(set().union(*(forms(secret) for secret in secrets)))
    parts = data.draw(st.lists(st.one_of(PLAIN, st.sampled_from(every)), max_size=12))
    stream = b"".join(parts)
    cuts = data.draw(st.lists(st.integers(0, max(1, len(stream))), max_size=20))
    out = mask(secrets, stream, cuts)
    # The mask itself may complete a form that begins or ends with asterisks; it says nothing about the secret.
    assume(not any(b"*" in form for form in every))
    assert not [form for form in every if form in out]


@pytest.mark.campaign
@given(SECRET, st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=10))
@settings(max_examples=300, deadline=None)
def test_a_stream_without_secrets_is_unchanged(secret: str, stream: bytes, cuts: list[int]) -> None:
    assume(not any(form in stream for form in forms(secret)))
    assert mask([secret], stream, cuts) == stream


@given(SECRET, st.lists(PLAIN, min_size=2, max_size=6), st.lists(st.integers(0, 400), max_size=10))
@settings(max_examples=200, deadline=None)
def test_the_cuts_change_nothing(secret: str, parts: list[bytes], cuts: list[int]) -> None:
    stream = secret.encode().join(parts)
    assert mask([secret], stream, cuts) == mask([secret], stream)


@pytest.mark.campaign
@given(st.binary(max_size=7), SECRET, st.binary(max_size=7))
@example(b"x", "pass/word+1", b"")
@settings(max_examples=300, deadline=None)
def test_base64_of_something_around_the_secret_is_masked(before: bytes, secret: str, after: bytes) -> None:
    raw = before + secret.encode() + after
    for encoded in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
        out = mask([secret], b"value: " + encoded + b"\n", [3, 11, 17])
        assert b"***" in out
        # What is left decodes to no more than what surrounds the secret and a few bits of its edges.
        assert len(out) - len(b"value: ***\n") <= (len(before) + len(after)) * 4 / 3 + 12


@pytest.mark.parametrize(
    "encode",
    [
        lambda secret: quote(secret, safe=""),
        lambda secret: quote(secret, safe="").lower() if "%" in quote(secret, safe="") and secret.islower() else "skip",
        quote_plus,
        lambda secret: json.dumps(secret)[1:-1],
        lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
        lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    ],
)
@pytest.mark.parametrize("secret", ['pa/ss "wörd" + ü', "a&b<c>d'e\"f", "läßt/ 100% grüßen"])
def test_it_masks_what_programs_make_of_a_secret(secret: str, encode: object) -> None:
    shown = encode(secret)  # type: ignore[operator]
    assert mask([secret], f"[{shown}]".encode()) == (b"[***]" if shown != "skip" else b"[skip]")


KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\nAASCBKcwggSjAgEAAoIBAQC7VJTU\n-----END KEY-----\n"


def test_a_secret_of_many_lines_is_masked_whole_and_line_by_line() -> None:
    assert mask([KEY], b"key:\n" + KEY.encode() + b"end", list(range(0, 120, 7))) == b"key:\n***end"
    assert mask([KEY], KEY.replace("\n", "\r\n").encode()).strip() == b"***"
    assert mask([KEY], b"2: MIIEvQIBADANBgkqhkiG9w0BAQEF!") == b"2: ***!"


def test_what_may_be_a_secret_is_held_until_it_is_decided() -> None:
    vocabulary = Vocabulary()
    vocabulary.add(["correct horse"])
    masker = Masker(vocabulary)
    assert masker.feed(b"say correct ho") == b"say "
    assert masker.feed(b"") == b""
    assert masker.feed(b"use") == b"correct house"
    assert masker.feed(b" correct horse") == b" ***"
    assert masker.finish() == b""


@given(st.binary(min_size=0, max_size=120), SECRET, st.binary(max_size=120), st.sampled_from([64, 76]), st.data())
@settings(max_examples=200, deadline=None)
def test_base64_in_lines_does_not_come_through_wherever_it_is_wrapped_and_cut(
    before: bytes, secret: str, after: bytes, columns: int, data: st.DataObject
) -> None:
    encoded = base64.b64encode(before + secret.encode() + after)
    ends = data.draw(st.sampled_from([b"\n", b"\r\n"]))
    lines = [encoded[place : place + columns] for place in range(0, len(encoded), columns)]
    stream = b"key:\n" + ends.join(lines) + ends
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    out = mask([secret], stream, cuts)
    assert b"***" in out
    joined = out.replace(b"\r", b"").replace(b"\n", b"")
    assert not [word for word in base64_words(secret) if len(word) >= 8 and word in joined]
    assert out == mask([secret], stream)


def test_a_secret_alone_in_76_columns_is_one_mask_also_byte_by_byte() -> None:
    secret = "".join(f"{number:03}" for number in range(80))
    stream = b"<\n" + base64.encodebytes(secret.encode()) + b">\n"
    assert stream.count(b"\n") > 4
    assert mask([secret], stream).replace(b"\n", b"") == b"<***>"
    assert mask([secret], stream, list(range(len(stream)))) == mask([secret], stream)


def test_the_end_of_an_ordinary_line_is_not_held_until_the_next_begins() -> None:
    vocabulary = Vocabulary()
    vocabulary.add(["secret phrase"])
    word = base64.b64encode(b"secret phrase")
    masker = Masker(vocabulary)
    line = b"ends like it: " + word[:5] + b"\n"
    assert masker.feed(line) == line
    assert not masker.holding
    digest = b"sha256:" + b"0123456789abcdef" * 3 + b"0123456789ab" + word[:1] + b"\n"
    assert masker.feed(digest) == digest
    assert not masker.holding


def test_overlapping_secrets_leave_no_rest() -> None:
    assert mask(["abcdefgh", "fghijklm"], b"<abcdefghijklm>", [3, 6, 9]) == b"<***>"


def test_a_secret_that_repeats_itself_is_not_held_for_ever() -> None:
    vocabulary = Vocabulary()
    vocabulary.add(["aaaaaaaa"])
    masker = Masker(vocabulary)
    out = b"".join(masker.feed(b"a" * 1000) for _ in range(50)) + masker.finish()
    assert b"a" not in out
    assert len(masker._held) < 10


def test_a_secret_learned_while_it_runs_is_masked_from_then_on() -> None:
    vocabulary = Vocabulary()
    masker = Masker(vocabulary)
    assert masker.feed(b"first hush-hush ") == b"first hush-hush "
    vocabulary.add(["hush-hush"])
    assert masker.feed(b"then hush-hush") + masker.finish() == b"then ***"


def test_blank_secrets_mask_nothing() -> None:
    assert mask(["", "  ", "\n"], b"a b\n") == b"a b\n"


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b"\xc3\xa4", b"\xff", b"\0", b"x" * 5000]), max_size=30))
@settings(max_examples=200, deadline=None)
def test_lines_do_not_depend_on_where_the_stream_is_cut(parts: list[bytes]) -> None:
    stream = b"".join(parts)
    whole = LineCutter()
    expected = whole.feed(stream) + whole.finish()
    pieces = LineCutter()
    found = [line for part in parts for line in pieces.feed(part)] + pieces.finish()
    if max(map(len, stream.split(b"\n"))) <= LONGEST_LINE:
        assert found == expected
    assert all(len(line.encode()) <= LONGEST_LINE * 3 for line in found)
    assert not any("\0" in line or "\n" in line for line in found)


def test_a_progress_bar_keeps_its_last_drawing() -> None:
    cutter = LineCutter()
    assert cutter.feed(b"10%\r20%\r") == []
    assert cutter.feed(b"100%\nnext\r\n") == ["100%", "next"]


def test_a_long_line_is_split_between_characters() -> None:
    cutter = LineCutter()
    lines = cutter.feed("ä".encode() * LONGEST_LINE) + cutter.finish()
    assert "".join(lines) == "ä" * LONGEST_LINE
    assert len(lines) == 2
