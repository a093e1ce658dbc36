"""A corpus of columns: each personal one is found, and its safe twin, which only looks a little like it, is not."""

import json
from typing import Any

import pytest

from checks.tools.column_facts import Column, Shape
from checks.tools.personal import look_at, shape_of

#: (table, column, type, values) that hold personal data.
PERSONAL: list[tuple[str, str, str, list[Any]]] = [
    ("account", "email", "varchar", []),
    ("account", "backupEmail", "varchar", []),
    ("ticket", "handed_to", "varchar", ["ann.lee@example.org", "somebody"]),
    ("shipment", "info", "text", ["Leave it at the door, or write to ann@example.org first."]),
    ("account", "phone", "varchar", []),
    ("account", "mobile_number", "int8", [491701234567]),
    ("order", "callback", "varchar", ["+49 30 1234567", "+1 (415) 555-0100", "0171/1234567"]),
    ("visit", "remote_addr", "varchar", []),
    ("visit", "origin", "varchar", ["192.0.2.17", "2001:db8::5", "198.51.100.4"]),
    ("visit", "host", "inet", []),
    ("visit", "user_agent", "text", []),
    ("account", "last_login", "timestamptz", []),
    ("person", "name", "varchar", []),
    ("account", "first_name", "varchar", []),
    ("account", "display_name", "varchar", []),
    ("konto", "nachname", "varchar", []),
    ("lesson", "held_by", "varchar", ["Anna Schmidt", "Mohammed al Farsi", "Maria-Luisa Rossi", "Peter Ng"]),
    ("account", "date_of_birth", "date", []),
    ("account", "dob", "varchar", ["1980-02-01"]),
    ("account", "street_address", "varchar", []),
    ("account", "zip_code", "varchar", []),
    ("account", "city", "varchar", []),
    ("visit", "latitude", "float8", []),
    ("account", "iban", "varchar", []),
    ("payout", "target", "varchar", ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819"]),
    ("payout", "target", "text", ["Send it to (DE89 3704 0044 0532 0130 00), please."]),
    ("payout", "target", "text", ["BE71 0961 2345 6769 PAID IN FULL"]),
    ("payout", "paid_by", "varchar", ["4111 1111 1111 1111", "5500005555555559"]),
    ("account", "password", "varchar", []),
    ("legacy", "login_data", "varchar", ["pbkdf2_sha256$600000$salt$aGFzaA==", "x"]),
    ("account", "pw_reset_token", "varchar", []),
    ("authtoken_token", "key", "varchar", []),
    ("django_session", "session_data", "text", []),
    ("integration", "settings", "varchar", ["sk_live_abcdefghijklmnop1234"]),
    ("account", "gender", "varchar", []),
    ("attendee", "dietary_needs", "text", []),
    ("account", "biography", "text", []),
    ("account", "photo", "bytea", []),
    ("order", "customer_note", "text", []),
    ("submission_review", "text", "text", []),
    ("mail_queuedmail", "to", "varchar", []),
    ("order", "extra", "jsonb", [json.dumps({"contact": {"email": "x"}, "n": 1})]),
    ("order", "extra", "jsonb", [json.dumps({"list": [{"who": "ann@example.org"}]})]),
    ("order", "extra", "jsonb", [json.dumps({"ann@example.org": 3})]),
    ("log", "payload", "text", [json.dumps({"phone": "12345"})]),
    ("order", "recipients", "_text", ["ann@example.org"]),
]

#: Columns beside which a careless look would stop: the same words, types or patterns, and nobody's data.
SAFE: list[tuple[str, str, str, list[Any]]] = [
    ("account", "email_verified", "bool", []),
    ("account", "has_phone", "bool", []),
    ("mail", "email_template", "varchar", ["welcome"]),
    ("settings", "token_lifetime", "int4", [3600]),
    ("settings", "password_min_length", "int4", [12]),
    ("order", "reference", "varchar", ["2025-01-02", "2025-11-30"]),
    ("order", "number", "varchar", ["10023", "10024"]),
    ("book", "isbn", "varchar", ["978-3-16-148410-0", "978-0-306-40615-7"]),
    ("build", "version", "varchar", ["10.4.2.1", "10.4.2.2"]),
    ("build", "digest", "varchar", ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]),
    ("file", "etag", "varchar", ["d41d8cd98f00b204e9800998ecf8427e"]),
    ("event", "uuid", "varchar", ["0b5f9f3e-93a4-4f0c-8f0e-2d6a3b2f9c11"]),
    ("course", "name", "varchar", ["What Money Is", "How Banks Work", "Saving For Later"]),
    ("course", "title", "varchar", ["Grand Opening", "Rose Garden Tour", "What Money Is"]),
    ("course", "summary", "text", ["A short lesson about money. It costs 12.50 and takes 3 hours."]),
    ("course", "slug", "varchar", ["mark-up-languages"]),
    ("product", "code", "varchar", ["AB12 3456 7890"]),
    ("product", "colour", "varchar", ["Rose Red"]),
    ("event", "starts_at", "timestamptz", []),
    ("event", "opens", "varchar", ["12:30:00", "08:15:00"]),
    ("event", "date_from", "date", []),
    ("django_content_type", "app_label", "varchar", ["accounts"]),
    ("auth_permission", "codename", "varchar", ["add_user"]),
    ("auth_permission", "name", "varchar", ["Can add user"]),
    ("account", "language", "varchar", ["en"]),
    ("account", "is_active", "bool", []),
    ("purchase", "customer_id", "int8", [5]),
    ("session_plan", "speaker", "int8", [5]),
    ("purchase", "amount", "numeric", [4111111111111111]),
    ("purchase", "paid_by", "varchar", ["4111 1111 1111 1112", "invoice"]),
    ("payout", "target", "varchar", ["DE00 3704 0044 0532 0130 00"]),
    # Random codes, in which a piece keeps every rule of an account number.
    ("badge", "code", "varchar", ["q7RQDE89370400440532013000"]),
    ("badge", "code", "varchar", ["9DE89370400440532013000", "DE89370400440532013000abc"]),
    ("widget", "settings", "jsonb", [json.dumps({"show_email": True, "colour": "red", "sizes": [1, 2]})]),
    ("widget", "tags", "_text", ["red", "blue"]),
    ("settings", "public_name", "bool", []),
    ("page", "template", "text", ["Hello {name}, write to us."]),
    ("social", "handle", "varchar", ["@releases", "@operations"]),
]

_SHAPES: dict[str, Shape] = {
    "varchar": "text", "text": "text", "jsonb": "json", "_text": "array", "inet": "inet", "bytea": "bytes",
    "date": "date", "timestamptz": "time", "int4": "number", "int8": "number", "float8": "number",
    "numeric": "number", "bool": "other",
}  # fmt: skip


def column(table: str, name: str, kind: str) -> Column:
    return Column("public", table, name, kind, _SHAPES[kind], False, False, None, False, 10, 8192, "r")


def named(case: tuple[str, str, str, list[Any]]) -> str:
    return f"{case[0]}.{case[1]}:{case[2]}"


@pytest.mark.parametrize("case", PERSONAL, ids=named)
def test_a_personal_column_is_found(case: tuple[str, str, str, list[Any]]) -> None:
    table, name, kind, values = case
    assert look_at(column(table, name, kind), values) is not None


@pytest.mark.parametrize("case", SAFE, ids=named)
def test_its_safe_twin_is_not(case: tuple[str, str, str, list[Any]]) -> None:
    table, name, kind, values = case
    found = look_at(column(table, name, kind), values)
    assert found is None, found.reasons


def test_no_finding_tells_a_value() -> None:
    for table, name, kind, values in PERSONAL:
        found = look_at(column(table, name, kind), values)
        assert found is not None
        told = f"{found.reasons} {found.shape}"
        for value in values:
            assert str(value) not in told
            assert "ann" not in told.lower()


def test_a_key_that_is_data_itself_is_told_by_its_shape() -> None:
    found = look_at(column("order", "extra", "jsonb"), [json.dumps({"Ann Lee": {"phone": "1"}})])
    assert found is not None
    assert found.reasons == [
        "names or telephone numbers are keys of its documents", "the key Aaa Aaa.phone says telephone"
    ]  # fmt: skip


def test_a_shape_keeps_what_is_no_letter_and_no_digit() -> None:
    assert shape_of("Ann.Lee7@example.org") == "Aaa.Aaa9@aaaaaaa.aaa"
    assert shape_of("Łódź, 東京 №5") == "Aaaa, aa ·9"
    assert len(shape_of("x" * 500)) == 41
