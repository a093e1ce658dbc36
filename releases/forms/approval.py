"""Forms of votes and of break-glass."""

from typing import Any

from django import forms

from releases.enums import Choice
from releases.forms.release import MomentField


class VoteForm(forms.Form):
    """One person's word for one station. The digest says what was read."""

    station = forms.ChoiceField(label="You speak for")
    choice = forms.ChoiceField(choices=Choice.choices, widget=forms.RadioSelect, label="Your vote")
    comment = forms.CharField(
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        label="Why",
        help_text="Kept with your vote and looked at again after the release. Needed for everything but a plain go.",
    )
    manifest_digest = forms.CharField(widget=forms.HiddenInput)

    def __init__(self, stations: list[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["station"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = stations
        if len(stations) == 1:
            field.initial = stations[0][0]
            field.widget = forms.HiddenInput()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("choice") not in (None, Choice.GO) and not (cleaned.get("comment") or "").strip():
            self.add_error("comment", "Say why; people read it before they decide and after the release.")
        return cleaned


class BreakGlassForm(forms.Form):
    """The way around a closed gate: a reason and an end. A second person must agree."""

    reason = forms.CharField(
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        label="Why the gate must be opened",
        help_text="Shown on the board for ever, with both names and with everything that blocked at this moment.",
    )
    expires_at = MomentField(label="Until", help_text="At most four hours from now.")
