"""What is downloaded as CSV opens in a spreadsheet as text, and is read back as it was."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases import spreadsheet

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"))


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=", "-", "--1"])
def test_what_begins_like_a_formula_is_text(text: str) -> None:
    assert spreadsheet.cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (-5, "-5"), ("-5.25", "-5.25"), ("plain", "plain"), (["a", "b"], "a; b"), (["=a"], "'=a"),
     (datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01T00:00:00+00:00"), (True, "True")],
)  # fmt: skip
def test_other_values_are_what_they_are(value: Any, shown: str) -> None:
    assert spreadsheet.cell(value) == shown


@given(st.lists(TEXT, min_size=2, max_size=5))
def test_a_line_is_read_back_as_it_was(values: list[str]) -> None:
    (read,) = csv.reader(io.StringIO(spreadsheet.line(values).decode()))
    assert [
        text if text == value else text.removeprefix("'") for text, value in zip(read, values, strict=True)
    ] == values


def test_lines_hold_the_named_columns_only() -> None:
    rows = [{"a": 1, "b": "=x", "c": "left out"}, {"b": None}]
    assert b"".join(spreadsheet.lines(["a", "b"], rows)) == b"a,b\r\n1,'=x\r\n,\r\n"
