"""Forms of a release."""

from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone

from releases.enums import Role
from releases.models import Application, Environment, Release, User

MAX_BUILD_BYTES = 2 * 1024**3


class MomentField(forms.DateTimeField):
    """A date and time in the viewer's zone, by the browser's own picker."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "60"}, format="%Y-%m-%dT%H:%M")

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, datetime) and timezone.is_aware(value):
            return timezone.localtime(value).replace(tzinfo=None)
        return value


class ReleaseForm(forms.ModelForm):  # type: ignore[type-arg]  # the class takes no arguments at run time
    """A new release: which build of which application goes from where to where."""

    build = forms.FileField(
        label="Build",
        help_text="The one file that is this build: a wheel, an archive or a lock file with hashes. "
        "Its SHA-256 is what every check, vote and deploy will be about.",
    )

    field_order = ("application", "version", "build", "source_environment", "target_environment", "title", "notes")

    class Meta:
        model = Release
        fields = ("application", "version", "title", "source_environment", "target_environment", "notes")
        widgets = {"notes": forms.Textarea(attrs={"rows": 4})}
        labels = {"source_environment": "Rehearsed in", "target_environment": "Goes live in"}
        help_texts = {
            "version": "As people will name it, for example 2025.2.2.",
            "title": "A few words for the head of its board, such as Scores for lessons.",
            "notes": "What changes for people; shown on the board.",
        }

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        allowed = Application.objects.filter(
            memberships__user=user, memberships__role__in=[Role.RELEASE_MANAGER, Role.ENGINEER]
        ).distinct()
        self.fields["application"].queryset = allowed  # type: ignore[attr-defined]
        self.fields["application"].empty_label = "Choose an application"  # type: ignore[attr-defined]
        places = Environment.objects.filter(application__in=allowed).select_related("application")
        for name in ("source_environment", "target_environment"):
            self.fields[name].queryset = places  # type: ignore[attr-defined]
            self.fields[name].empty_label = "Choose an environment"  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for name in ("source_environment", "target_environment"):
            place = cleaned.get(name)
            if place and cleaned.get("application") and place.application_id != cleaned["application"].pk:
                self.add_error(
                    name, f"{place.name} belongs to {place.application}; choose one of {cleaned['application']}."
                )
        build = cleaned.get("build")
        if build is not None and build.size > MAX_BUILD_BYTES:
            self.add_error("build", "A build may be 2 GB at most; publish a lock file with hashes instead.")
        return cleaned


class WindowForm(forms.Form):
    """When the release may go live."""

    opens = MomentField(label="Window opens")
    closes = MomentField(label="Window closes")


class ReasonForm(forms.Form):
    """A reason that the ledger keeps."""

    reason = forms.CharField(
        max_length=2000, widget=forms.Textarea(attrs={"rows": 3}), label="Reason", help_text="Kept in the ledger."
    )
