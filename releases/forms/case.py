"""Forms of acceptance cases."""

from django import forms

from releases.enums import CaseVerdict


class CaseForm(forms.Form):
    """What a person found when they walked a case."""

    verdict = forms.ChoiceField(choices=CaseVerdict.choices, widget=forms.RadioSelect, label="What you found")
    note = forms.CharField(
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        label="Note",
        help_text="What you saw; needed where it did not pass.",
    )
    screenshot = forms.FileField(
        required=False,
        widget=forms.ClearableFileInput(attrs={"accept": "image/*"}),
        help_text="A picture of at most 10 MB.",
    )
