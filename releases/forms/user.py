"""Forms of people: an invitation, and a role."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from releases.domain.membership import stations_of
from releases.enums import Role
from releases.models import Application, User
from releases.permissions import visible_people

_STATIONS_LIST = "known-stations"


class RoleForm(forms.Form):
    """Which role; an approver also has the station they speak for. ``stations`` are offered, not enforced here."""

    role = forms.ChoiceField(choices=[("", "Choose a role"), *Role.choices])
    station = forms.SlugField(
        max_length=40,
        required=False,
        widget=forms.TextInput(attrs={"list": _STATIONS_LIST, "autocomplete": "off"}),
        help_text="For approvers only: what they speak for in the poll, such as security.",
    )
    stations: dict[str, str]

    def clean_role(self) -> Role:
        return Role(self.cleaned_data["role"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("role") == Role.APPROVER and not cleaned.get("station") and "station" not in self.errors:
            self.add_error("station", "An approver speaks for a station; name it.")
        if cleaned.get("role") and cleaned["role"] != Role.APPROVER and cleaned.get("station"):
            self.add_error("station", "Only an approver speaks for a station; leave it empty.")
        return cleaned


class InviteForm(RoleForm):
    """A new account and its first role."""

    email = forms.EmailField(label="E-mail address", help_text="They log in with it, and the link is sent there.")
    name = forms.CharField(max_length=200, help_text="As it stands beside what they do, and in the ledger.")
    application = forms.ModelChoiceField(
        Application.objects.none(), empty_label="Choose an application", to_field_name="slug"
    )
    field_order = ("email", "name", "application", "role", "station")

    def __init__(self, applications: QuerySet[Application], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["application"].queryset = applications  # type: ignore[attr-defined]
        self.stations = {key: title for each in applications[:20] for key, title in stations_of(each).items()}


class MemberForm(RoleForm):
    """A role for somebody who has an account; ``user`` becomes that account."""

    user = forms.EmailField(
        label="E-mail address",
        widget=forms.EmailInput(attrs={"list": "known-people", "autocomplete": "off"}),
        help_text="Of somebody who has an account.",
    )
    field_order = ("user", "role", "station")

    def __init__(self, application: Application, viewer: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stations = stations_of(application)
        self.people = visible_people(viewer).filter(is_active=True).order_by("name")[:500]

    def clean_user(self) -> User:
        email = self.cleaned_data["user"].lower()
        found = User.objects.filter(email=email).first()
        if found is None:
            raise forms.ValidationError(f"Nobody has an account with the address {email}; invite them instead.")
        return found
