"""The components' markup: tied labels, links that keep filters, words beside colours."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django import forms
from django.core.paginator import Paginator
from django.template import Context, Template
from django.test import RequestFactory

from releases.templatetags.interface_states import UnknownStateError


def render(source: str, query: str = "", **context: Any) -> str:
    request = RequestFactory().get(f"/releases/{query}")
    return Template("{% load interface %}" + source).render(Context({"request": request, **context}))


def test_a_pill_has_a_word_and_a_glyph() -> None:
    html = render("{% pill 'run' state %}", state="failed")
    assert "Failed" in html
    assert "<svg" in html
    assert 'class="pill nogo"' in html


def test_a_long_name_breaks_at_its_seams_and_is_escaped() -> None:
    html = render("{{ name|seams }}", name="public.courses_progress <b>/a")
    assert html == "public.<wbr>courses_<wbr>progress &lt;b&gt;/<wbr>a"


def test_a_page_with_an_unknown_state_is_not_shown() -> None:
    with pytest.raises(UnknownStateError):
        render("{% pill 'run' state %}", state="splendid")


def test_a_pill_escapes_what_it_is_given() -> None:
    assert "<b>" not in render("{% pill 'run' 'passed' text %}", text="<b>")


def test_a_time_names_its_zone_and_the_distance() -> None:
    html = render("{% moment value %}", value=datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert 'datetime="2020-01-02T03:04:05Z"' in html
    assert 'title="2020-01-02 03:04:05 UTC"' in html
    assert "Thu 2 Jan 2020 03:04" in html
    assert "ago</time>" in html


def test_nothing_is_a_dash() -> None:
    assert render("{% moment none %}{% ago none %}{% elapsed none %}", none=None) == "–––"


def test_a_filter_chip_keeps_the_other_filters_and_begins_at_the_first_page() -> None:
    html = render("{% chip 'Live' 'state' 'live' 1180 %}", "?q=pay&page=4&state=failed")
    assert 'href="?q=pay&amp;state=live"' in html
    assert "1,180" in html
    assert "aria-current" not in html


def test_the_chosen_chip_is_marked() -> None:
    assert 'aria-current="true"' in render("{% chip 'Live' 'state' 'live' %}", "?state=live")
    assert 'aria-current="true"' in render("{% chip 'All' 'state' %}")


def test_a_header_sorts_and_then_turns_round() -> None:
    assert 'href="?sort=name"' in render("{% sort_header 'Release' 'name' %}")
    up = render("{% sort_header 'Release' 'name' %}", "?sort=name")
    assert 'href="?sort=-name"' in up
    assert 'aria-sort="ascending"' in up
    down = render("{% sort_header 'Release' 'name' %}", "?sort=-name")
    assert 'href="?sort=name"' in down
    assert 'aria-sort="descending"' in down


def test_a_header_knows_the_order_without_a_query() -> None:
    assert 'aria-sort="descending"' in render("{% sort_header 'Started' 'started' default='-started' %}")


def test_the_pager_exports_the_filtered_list() -> None:
    page = Paginator(range(241), 20).page(3)
    html = render("{% pager page 'releases' %}", "?state=live&page=3", page=page)
    assert "41 to 60 of 241 releases" in html
    assert 'href="?state=live&amp;format=csv"' in html
    assert 'href="?state=live&amp;page=2"' in html
    assert 'aria-current="page">3<' in html


def test_the_pager_of_one_page_has_no_links_to_pages() -> None:
    html = render("{% pager page 'runs' %}", page=Paginator(range(3), 20).page(1))
    assert "1 to 3 of 3 runs" in html
    assert "page=" not in html


class Plan(forms.Form):
    title = forms.CharField(help_text="As people say it.")
    tier = forms.ChoiceField(widget=forms.RadioSelect, choices=[("staging", "Staging")])
    note = forms.CharField(required=False)


def test_help_and_errors_are_tied_to_their_field() -> None:
    html = render("{% fields form %}", form=Plan({"title": ""}))
    assert 'aria-describedby="id_title_help id_title_error"' in html
    assert 'aria-invalid="true"' in html
    assert 'id="id_title_help"' in html
    assert 'id="id_title_error"' in html


def test_a_field_without_help_or_error_describes_nothing() -> None:
    html = render("{% field form.note %}", form=Plan())
    assert "aria-describedby" not in html
    assert "(optional)" in html


def test_radios_stand_in_a_group_with_a_name() -> None:
    html = render("{% field form.tier %}", form=Plan())
    assert "<fieldset" in html
    assert "<legend>Tier" in html


def test_a_refused_form_says_that_nothing_was_changed_and_links_to_each_field() -> None:
    html = render("{% form_errors form %}", form=Plan({"title": ""}))
    assert "Nothing was changed yet." in html
    assert 'href="#id_title"' in html
    assert 'role="alert"' in html


def test_an_unsent_form_has_no_errors() -> None:
    assert render("{% form_errors form %}", form=Plan()).strip() == ""


def test_lights_are_told_in_words() -> None:
    html = render("{% lights stations %}", stations=[{"name": "Testing", "state": "go"}])
    assert "Testing: Go" in html


def test_a_running_step_without_progress_is_shown_without_a_figure() -> None:
    html = render(
        "{% include 'components/steps.html' %}", steps=[{"name": "Ask", "state": "running", "progress": None}]
    )
    assert "<progress aria-label" in html


def test_a_vote_that_does_not_count_says_so_and_why() -> None:
    votes = [{"station": "Security", "choice": "go", "counts": False, "why_not": "the evidence changed"}]
    html = render("{% include 'components/poll.html' %}", votes=votes)
    assert "Does not count" in html
    assert "the evidence changed" in html
    assert 'class="pill go"' not in html


def test_the_verdict_lists_what_blocks_as_links() -> None:
    blockers = [{"subject": "Load test", "text": "over its limit", "url": "/items/load/"}]
    html = render("{% include 'components/verdict.html' with verdict='no_go' %}", blockers=blockers)
    assert '<a href="/items/load/">Load test</a>: over its limit' in html
    assert "No-go" in html
