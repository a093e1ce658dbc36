"""A line of a log becomes markup that can do nothing but show text."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.templatetags.interface_log import ansi_to_html, log_line, log_lines


class Reader(HTMLParser):
    """Collects the tags and the text of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_colours_become_classes() -> None:
    assert ansi_to_html("\x1b[1;33mslow\x1b[0m ok") == '<span class="ansi-bold ansi-yellow">slow</span> ok'


def test_a_colour_holds_until_it_is_taken_back() -> None:
    html = ansi_to_html("\x1b[31mred \x1b[4mlined\x1b[24m red\x1b[39m plain")
    assert html == (
        '<span class="ansi-red">red </span><span class="ansi-red ansi-underline">lined</span>'
        '<span class="ansi-red"> red</span> plain'
    )


@pytest.mark.parametrize(
    "text",
    ["\x1b]0;title\x07x", "\x1b]8;;https://example.org\x1b\\x\x1b]8;;\x1b\\", "\x1b[2J\x1b[1;1Hx", "\x1b(Bx", "x\x1b",
     "\x00x\x08\x7f", "\u202ex\u2066", "\x1bP1;2|data\x1b\\x", "\x1b[38;5;196mx".replace("38;5;196", "")],
)  # fmt: skip
def test_sequences_that_are_no_colour_are_dropped(text: str) -> None:
    assert ansi_to_html(text) == "x"


@pytest.mark.parametrize("codes", ["38;5;196", "48;2;1;2;3", "38;2;255;0;0"])
def test_colours_out_of_the_palette_are_read_and_passed_over(codes: str) -> None:
    assert ansi_to_html(f"\x1b[{codes};1mx") == '<span class="ansi-bold">x</span>'


@given(st.text(alphabet=st.sampled_from("\x1b[]0;3m18<>&\"'/aé\x07\\PH\u202e "), max_size=60))
def test_no_text_can_open_a_tag_of_its_own(text: str) -> None:
    reader = Reader(ansi_to_html(text))
    assert all(tag == "span" and set(attributes) == {"class"} for tag, attributes in reader.tags)
    assert "\x1b" not in reader.text
    assert "\u202e" not in reader.text


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert Reader(f"<p>{ansi_to_html(text)}</p>").text == text


def test_a_line_can_be_linked_to() -> None:
    reader = Reader(log_line(413, "GET /a?b=1&c=<2>", kind="o", stamp=1_764_000_000_123))
    assert reader.tags[0] == ("div", {"class": "line", "id": "L413", "data-n": "413"})
    assert reader.tags[1] == ("a", {"class": "n", "href": "#L413"})
    assert reader.text == "41316:00:00.1GET /a?b=1&c=<2>"


def test_an_error_line_says_so_in_words() -> None:
    assert Reader(log_line(1, "boom", kind="e")).text == "1error: boom"


def test_lines_are_numbered_from_the_first() -> None:
    reader = Reader(log_lines(7, ["a", "b"], "oc", [0, 0]))
    assert [attributes["id"] for tag, attributes in reader.tags if tag == "div"] == ["L7", "L8"]


def test_a_chunk_whose_parts_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        log_lines(1, ["a", "b"], "o", [0, 0])
