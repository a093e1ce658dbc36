"""Texts of people inside of bytes: found wherever they stand, in UTF-8, and nothing is found that is none."""

import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from checks.tools import byte_texts
from checks.tools.column_facts import columns
from checks.tools.postgres import Connection, connected, one
from tests.kinds_data.support import Shop, admin, administration, log_of
from tests.privacy.support import people, staging_of, told_in

#: name of a column of staging's table -> its bytes, and the masked column whose value stands in it.
FOUND = {
    "alone": (b"person7@example.org", "person.email"),
    "one_word": (b"berg7", "person.username"),
    "a_document": (b'{"note": "please ask person8@example.org"}', "person.email"),
    "umlauts": ("met ÅSA ÖBERG today".encode(), "person.name"),
    "in_a_picture": (b"\x89PNG\r\n\x1a\n\x00\xff\xfeArtist\x00Peter Berg-Bson\x00\x00\xff\xd8", "person.name"),
    "between_halves": (b"\xc3" + "Åsa Öberg".encode() + b"\xc3\x00", "person.name"),
    "after_a_backslash": (rb"C:\people\person9@example.org", "person.email"),
}
NOT_FOUND = {
    "one_word_in_a_picture": b"\xff\x00berg7\x00\xff",
    "noise": random.Random(7).randbytes(200_000),
    "nothing": b"",
    "too_late": b"\xff" * byte_texts.MOST_BYTES + b"person7@example.org",
}


def with_bytes(shop: Shop) -> None:
    """Staging's database gets one row of these, each in a column of its name, and one list of two."""
    held = {name: content for name, (content, _) in FOUND.items()} | NOT_FOUND
    with psycopg.connect(staging_of(shop).conninfo(), autocommit=True) as database:
        names = sql.SQL(", ").join(sql.SQL("{} bytea").format(sql.Identifier(name)) for name in held)
        database.execute(sql.SQL("CREATE TABLE held ({}, listed bytea[])").format(names))
        values = sql.SQL(", ").join(sql.Placeholder() for _ in range(len(held) + 1))
        listed = [b"\x00", b"see person7@example.org"]
        database.execute(sql.SQL("INSERT INTO held VALUES ({})").format(values), [*held.values(), listed])


@pytest.mark.django_db(transaction=True)
def test_a_value_inside_of_bytes_is_found_and_chance_is_not(storage_folder: Path, tmp_path: Path) -> None:
    with people(tmp_path) as shop:
        with_bytes(shop)
        shop.sql("UPDATE person SET name = 'Åsa Öberg' WHERE id = 5")
        run = shop.run("privacy", also_in=["staging"])
    assert run.state == "failed", (run.error, run.summary, log_of(run))
    found: dict[str, set[str]] = {}
    for leak in run.result["leaks"]:
        assert (leak["where"], leak["found_table"]) == ("staging", "held")
        found.setdefault(leak["found_column"], set()).add(f"{leak['table']}.{leak['column']}")
    assert found.keys() == FOUND.keys() | {"listed"}
    for name, (_, column) in FOUND.items():
        assert column in found[name], name
    cannot_say = {row["column"]: (row["values"], row["reason"]) for row in run.result["not_provable"]}
    assert cannot_say["held.too_late"] == (1, "of more than 256 KiB: only the beginning was looked through")
    assert "held.noise" not in cannot_say
    assert "person7" not in told_in(run.result, log_of(run)), "no value is told"


# --- what is a stretch of text ----------------------------------------------------------------------------------------


def reference(data: bytes) -> list[str]:
    """Character by character, by Python's own decoder; a backslash and a zero byte are a space."""
    found, run, place = [], "", 0
    while place < len(data):
        character = next((text for size in range(1, 5) if (text := _decoded(data[place : place + size]))), "")
        if character:
            run += " " if character in "\\\0" else character
            place += len(character.encode())
        else:
            found.append(run)
            run, place = "", place + 1
    return [run for run in [*found, run] if len(run) >= byte_texts.SHORTEST]


def _decoded(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return ""
    return text if len(text) == 1 else ""


@pytest.fixture(scope="module", params=["UTF8", "LATIN1"])
def holding(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A database of this encoding with a table for bytes."""
    name = f"bytes_{uuid.uuid4().hex[:10]}"
    shape = f"TEMPLATE template0 ENCODING {request.param} LOCALE_PROVIDER libc LOCALE 'C'"
    with administration() as server:
        server.execute(f"CREATE DATABASE {name} {shape}")
        try:
            with connected(admin().named(name)) as connection:
                connection.execute("CREATE TABLE public.held (content bytea)")
                yield connection
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


PIECES = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=12).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b"\\", b"\\303", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"\xf0\x9f"]),
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.lists(PIECES, max_size=8).map(b"".join))
def test_the_server_finds_the_stretches_that_python_finds(holding: Connection, data: bytes) -> None:
    holding.execute("TRUNCATE public.held")
    holding.execute("INSERT INTO public.held VALUES (%s)", [data])
    rows = holding.execute(byte_texts.values(columns(holding)[0])).fetchall()
    utf8 = one(holding, "SELECT current_setting('server_encoding')") == "UTF8"
    # A database of another encoding is looked through for ASCII.
    expected = reference(data if utf8 else bytes(min(byte, 128) for byte in data))
    found = [(value, whole) for value, whole in rows if len(value) >= byte_texts.SHORTEST]
    # Four bytes may be one character; those are of no use, and of no harm.
    assert found == [(value, len(value.encode()) == len(data)) for value in expected]


def test_of_a_long_value_the_beginning_is_looked_into_and_it_is_counted(holding: Connection) -> None:
    holding.execute("TRUNCATE public.held")
    long = b"begin" + b"\xff" * byte_texts.MOST_BYTES + b"end of it"
    for data in (long, long[: byte_texts.MOST_BYTES], None):
        holding.execute("INSERT INTO public.held VALUES (%s)", [data])
    column = columns(holding)[0]
    rows = holding.execute(byte_texts.values(column)).fetchall()
    assert [row for row in rows if row[0]] == [("begin", False)] * 2
    assert holding.execute(byte_texts.longer(column)).fetchall() == [(1,)]
