"""Forms of the risk register."""

from typing import Any

from django import forms

from releases.enums import Treatment

SCALE = [(1, "1, lowest"), (2, "2"), (3, "3"), (4, "4"), (5, "5, highest")]


class AssessmentForm(forms.Form):
    """A person's own position for a risk. It counts when a second person confirms it."""

    likelihood = forms.TypedChoiceField(choices=SCALE, coerce=int)
    impact = forms.TypedChoiceField(choices=SCALE, coerce=int)
    treatment = forms.ChoiceField(choices=Treatment.choices)
    reason = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 3}), help_text="Kept in the ledger.")

    def clean(self) -> dict[str, Any]:
        return super().clean() or {}
