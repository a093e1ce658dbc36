"""Forms of the checklist."""

from typing import Any

from django import forms

from releases.forms.release import MomentField

MAX_ATTACHMENT_BYTES = 50 * 1024**2
#: What an attested item asks for, where the answer is that it holds.
_NEEDED_WHERE_IT_HOLDS = {
    "attachment": "this or a link, where it holds",
    "link": "this or a file, where it holds",
    "link_note": "with a link",
    "valid_until": "where it holds",
}


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
    attachment = forms.FileField(
        required=False, help_text="Notes, a screenshot or a report; at most 50 MB. Its SHA-256 goes into the ledger."
    )
    link = forms.CharField(
        required=False,
        max_length=1000,
        label="Or a link to the evidence",
        help_text="Where it lies, if it must stay there. Nobody can prove later that it was not changed.",
        widget=forms.URLInput,
    )
    link_note = forms.CharField(
        required=False, max_length=500, label="What the link shows", widget=forms.Textarea(attrs={"rows": 2})
    )
    valid_until = MomentField(
        required=False, label="It holds until", help_text="At most a year from now; left empty, for this release."
    )

    def __init__(self, *args: Any, attested: bool = False, **kwargs: Any) -> None:
        """``attested``: an answer that it holds needs evidence and an end; the domain refuses one without."""
        super().__init__(*args, **kwargs)
        if attested:
            self.fields["statement"].label = "What you attest"
            self.fields["valid_until"].help_text = "At most a year from now. It must reach past the window's end."
            for name, needed in _NEEDED_WHERE_IT_HOLDS.items():
                setattr(self.fields[name], "needed", needed)  # noqa: B010 - shown instead of "optional"

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
