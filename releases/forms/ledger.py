"""Forms of the ledger: the filter of its list."""

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from releases.domain.ledger.history import Filters, Scope, known_actions
from releases.models import Application, Release, User


class LedgerFilter(forms.Form):
    """What to look for. Every field may be empty; a value that makes no sense is an error beside its field."""

    q = forms.CharField(required=False, max_length=200, label="Text, number or hash")
    action = forms.ChoiceField(required=False)
    actor = forms.ModelChoiceField(User.objects.none(), required=False, label="Person", empty_label="Everybody")
    application = forms.ModelChoiceField(Application.objects.none(), required=False, empty_label="All applications")
    release = forms.ModelChoiceField(Release.objects.none(), required=False, empty_label="All releases")
    since = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label="To", widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, scope: Scope, data: Any) -> None:
        super().__init__(data)
        applications = Application.objects.filter(pk__in=scope.applications).order_by("name")
        releases = Release.objects.filter(application__in=scope.applications).select_related("application")
        people = User.objects.order_by("name")
        if not scope.reads_the_rest:
            people = people.filter(memberships__application__in=scope.applications).distinct()
        actions = [("", "All actions"), *((action, action) for action in known_actions())]
        self.fields["action"].choices = actions  # type: ignore[attr-defined]
        for name, rows in (("application", applications), ("release", releases), ("actor", people)):
            self.fields[name].queryset = rows  # type: ignore[attr-defined]

    def filters(self) -> Filters:
        """What the valid fields ask for; days are those of the viewer's zone, the last one included."""
        data = getattr(self, "cleaned_data", {})
        return Filters(
            text=data.get("q") or "",
            action=data.get("action") or "",
            actor_id=getattr(data.get("actor"), "pk", None),
            application_id=getattr(data.get("application"), "pk", None),
            release_id=getattr(data.get("release"), "pk", None),
            since=_midnight(data.get("since"), 0),
            until=_midnight(data.get("until"), 1),
        )


def _midnight(day: Any, days_after: int) -> datetime | None:
    if day is None:
        return None
    return timezone.make_aware(datetime.combine(day + timedelta(days=days_after), time.min))
