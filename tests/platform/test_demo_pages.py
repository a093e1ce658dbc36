"""The demonstration fills in forms as a browser would."""

from config.demo.pages import fields, refusals

PAGE = """
<form method="get" action="/find/"><input name="q" value="never"></form>
<form method="post">
<input type="hidden" name="csrfmiddlewaretoken" value="t">
<input type="checkbox" name="amcheck" checked><input type="checkbox" name="quick">
<input type="radio" name="how" value="a"><input type="radio" name="how" value="b" checked>
<input name="backup" value="k &amp; l"><input type="file" name="report"><input type="submit" name="go" value="Go">
<select name="mode"><option value="1">One</option><option value="2" selected>Two</option></select>
<select name="first"><option value="x">X</option><option value="y">Y</option></select>
<textarea name="reason">Why
not</textarea>
</form>
<form method="post" action="/elsewhere/"><input name="other" value="never"></form>
"""


def test_it_sends_what_the_form_of_the_page_holds_and_nothing_else() -> None:
    assert fields(PAGE, "/start/") == {
        "csrfmiddlewaretoken": "t",
        "amcheck": "on",
        "how": "b",
        "backup": "k & l",
        "mode": "2",
        "first": "x",
        "reason": "Why\nnot",
    }


def test_it_reads_what_a_page_says_went_wrong() -> None:
    page = '<p>All well</p><div role="alert"><b>No</b> name.<br>Give one.</div><ul class="errors"><li>Late</li></ul>'
    assert refusals(page) == "No name. Give one. Late"
    assert refusals("<p>All well</p>") == ""
