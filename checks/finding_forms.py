"""Forms about findings."""

from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone

from checks.findings.accepting import LONGEST_CRITICAL, longest
from checks.models import Finding
from releases.forms.release import MomentField


class AcceptanceForm(forms.Form):
    """Leave to live with a finding for a while."""

    reason = forms.CharField(
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 4}),
        label="Why it can be lived with until then",
        help_text="What keeps it from doing harm meanwhile, and what will be done. A second person reads this.",
    )
    expires_at = MomentField(label="Until")

    def __init__(self, finding: Finding, *args: Any, **kwargs: Any) -> None:
        most = longest(finding)
        kwargs.setdefault("initial", {"expires_at": timezone.now() + most - timedelta(hours=1)})
        super().__init__(*args, **kwargs)
        what = "A critical finding" if most == LONGEST_CRITICAL else "A finding"
        self.fields["expires_at"].help_text = f"{what} is accepted for at most {most.days} days."
