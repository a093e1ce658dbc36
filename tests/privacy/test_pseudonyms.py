"""Pseudonyms: with one key the same value is the same pseudonym, from clone to clone and from version to version."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from checks.tools import pseudonyms
from tests.kinds_data.support import administration

KEY = bytes(range(pseudonyms.KEY_BYTES))
#: (function, value, pseudonym under KEY); a change here breaks the promise of `pseudonym_key`.
KNOWN = [
    ("email", "ann.lee@example.org", "jjkhemilakgdbidk@masked.invalid"),
    ("email", "Ann.Lee@example.org", "JJkhemiLakGdBIdk@masked.invalid"),
    ("email", "a@x.org; b@y.org", "cekleaholfjmicff@masked.invalid,iafnchfjohbglfog@masked.invalid"),
    ("name", "Ann Lee", "Vaskin Gorsewick"),
    ("own_name", "Ann Lee", "Vaskin Gorsewick Kdklcghegb"),
    ("given_name", "Ann", "Dorvin"),
    ("family_name", "Lee", "Kindlebrook"),
    ("username", "ann", "user_fkipcdmjimfphj"),
    ("token", "0123456789abcdef01", "084b30b7c2b4ff0e68"),
    ("password", "pbkdf2$x", "!pjojigijpfbemfgaljnpcikhjnpkckccmdppccei"),
    ("text", "Lives in Hamburg.", "hamjkeklijfdjpbc"),
    ("text", "short", "dfclg"),
    ("own_text", "short", "dfclgbglebllhmmc"),
    ("shape", "AB-12 cd 3", "OJ-69 af 2"),
    ("shape", "+49 30 1234", "+46 99 5651"),
    ("ip_text", "192.0.2.7", "198.19.58.213"),
    ("ip_text", "2001:db8::7", "2001:db8::559:24a2:606e:6d23"),
    ("shift", "2025-03-01 12:00:00", "-7 days -00:59:16.511971"),
]
DOCUMENT = '{"email": "ann@x.org", "n": 3, "list": ["one", {"phone": "+49 30 12"}], "who@x.org": null}'
RULES = '{"email": "email", "*.phone": "shape"}'
MASKED = {
    "n": 3, "list": ["iin", {"phone": "+68 69 73"}], "email": "mcoabhfknfpgdnke@masked.invalid",
    "mabhknkgenpjahnl@masked.invalid": None,
}  # fmt: skip
TEXTS = ("email", "name", "given_name", "family_name", "username", "token", "password", "text", "shape", "ip_text")


@pytest.fixture(scope="module")
def session() -> Iterator[psycopg.Connection[Any]]:
    with administration() as connection:
        pseudonyms.install(connection, KEY, 30)
        yield connection


def masked(session: psycopg.Connection[Any], function: str, value: str | None) -> str | None:
    row = session.execute(f"SELECT pg_temp.{function}(%s)::text", [value]).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return row[0]  # type: ignore[no-any-return]


def test_under_one_key_they_stay_what_they_were(session: psycopg.Connection[Any]) -> None:
    assert [(function, value, masked(session, function, value)) for function, value, _ in KNOWN] == KNOWN
    assert session.execute("SELECT pg_temp.shift_days('1980-02-29')::text").fetchone() == ("1980-02-12",)
    query = "SELECT pg_temp.document(%s, '', %s)"
    assert session.execute(query, [DOCUMENT, RULES]).fetchone() == (MASKED,)


@pytest.mark.parametrize("function", TEXTS)
def test_nothing_stays_nothing(session: psycopg.Connection[Any], function: str) -> None:
    assert masked(session, function, None) is None
    assert masked(session, function, "") == ""


@pytest.mark.parametrize(
    ("value", "shape"),
    [("100%", "999%"), ("%s %1$s", "%a %9$a"), ("7", "9"), ("--", "--"), ("Łódź", "aaaa"), ("a\n9", "a\n9")],
)
def test_a_shape_holds_whatever_stands_between(session: psycopg.Connection[Any], value: str, shape: str) -> None:
    found = masked(session, "shape", value) or ""
    told = "".join("9" if each.isdigit() else "a" if each.isalpha() else each for each in found)
    assert told == shape


def test_what_is_asked_for_a_million_rows_is_no_query_of_its_own(session: psycopg.Connection[Any]) -> None:
    """Put into the statement, a pseudonym costs microseconds; called as a function it costs as much as a query."""
    session.execute("CREATE TEMPORARY TABLE every (v text, d date, i inet)")
    columns = ", ".join(f"pg_temp.{function}(v)" for function in TEXTS if function != "shape")
    plan = session.execute(
        f"EXPLAIN (VERBOSE) SELECT {columns}, pg_temp.shift(v), pg_temp.shift_days(d), pg_temp.ip(i) FROM every"  # type: ignore[arg-type]
    ).fetchall()
    output = "\n".join(line for (line,) in plan)
    # Lists of addresses, and those in capitals, are rare; these two are left.
    called = set(re.findall(r"pg_temp(?:_\d+)?\.(\w+)\(", output))
    assert called == {"cased_email", "emails"}
