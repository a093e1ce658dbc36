"""Canonical bytes: RFC 8785, and that any document that is accepted can be verified afterwards."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from releases.domain import ledger
from releases.domain.canonical import canonical_json, digest, plain
from releases.domain.ledger.rows import disagreeing, head_sequence, read_rows
from releases.enums import Tier
from releases.errors import LedgerMisuse

TEXTS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=12)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
DOCUMENTS = st.dictionaries(
    TEXTS,
    st.recursive(
        st.none() | st.booleans() | NUMBERS | TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=5,
)


def test_the_example_of_the_standard() -> None:
    """RFC 8785, section 3.2.2."""
    facts = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"\u002f",
        "literals": [None, True, False],
    }
    assert canonical_json(facts) == (
        b'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        b'"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_are_sorted_by_utf_16() -> None:
    assert canonical_json({"\ufb33": 1, "\U0001f600": 2, "a": 3}) == '{"a":3,"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2026, 1, 31, 10, 5, 0, 1, tzinfo=timezone(timedelta(hours=1))), "2026-01-31T09:05:00.000001Z"),
        (datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31T00:00:00.000000Z"),
        (date(2026, 1, 31), "2026-01-31"),
        (timedelta(minutes=1, microseconds=500_000), 60.5),
        (Decimal("1.50"), "1.50"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Tier.STAGING, "staging"),
        ((1, "a"), [1, "a"]),
        ({"b", "a"}, ["a", "b"]),
        ({1: True}, {"1": True}),
    ],
)
def test_what_json_lacks_has_one_form(value: Any, expected: Any) -> None:
    assert plain(value) == expected


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(LedgerMisuse, match="has no zone"):
        plain(datetime(2026, 1, 31))  # noqa: DTZ001 - that is the point


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2.0]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": True})


@pytest.mark.django_db
@given(document=DOCUMENTS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_document_that_is_accepted_verifies_afterwards(document: dict[str, Any]) -> None:
    with transaction.atomic():
        ledger.append(action="test.happened", actor=None, document=document)
    ledger.seal_now()
    end = head_sequence()
    ((entry, columns),) = read_rows(after=end - 1, until=end)
    assert disagreeing(entry.canonical, columns) == []
