"""Forms of the checklist."""

from django import forms

from releases.forms.release import MomentField

MAX_ATTACHMENT_BYTES = 50 * 1024**2


class SignOffForm(forms.Form):
    """A person's answer to an item that no run can answer."""

    passed = forms.TypedChoiceField(
        choices=[("yes", "It holds"), ("no", "It does not hold")],
        coerce=lambda value: value == "yes",
        widget=forms.RadioSelect,
        label="What you found",
    )
    statement = forms.CharField(
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        label="What you looked at",
        help_text="Kept as evidence with your name. Who signs an item cannot vote on this release.",
    )
    attachment = forms.FileField(required=False, help_text="Notes, a screenshot or a report; at most 50 MB.")

    def clean_attachment(self) -> object:
        attachment = self.cleaned_data.get("attachment")
        if attachment is not None and attachment.size > MAX_ATTACHMENT_BYTES:
            raise forms.ValidationError("The attachment is larger than 50 MB.")
        return attachment


class WaiverForm(forms.Form):
    """Leave to go live without an item."""

    reason = forms.CharField(
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        label="Why going live without it is right",
        help_text="A second person must agree before it counts.",
    )
    expires_at = MomentField(label="Until", help_text="At most 90 days from now.")
