"""Forms of the calendar."""

from typing import Any

from django import forms

from releases.enums import Role
from releases.forms.release import MomentField
from releases.models import Application, ChangeFreeze, User


class FreezeForm(forms.ModelForm):  # type: ignore[type-arg]  # the class takes no arguments at run time
    """A time in which nothing of an application goes live."""

    opens = MomentField(label="From")
    closes = MomentField(label="To")

    class Meta:
        model = ChangeFreeze
        fields = ("application", "opens", "closes", "reason")

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        allowed = Application.objects.filter(
            memberships__user=user, memberships__role__in=[Role.RELEASE_MANAGER, Role.ADMINISTRATOR]
        ).distinct()
        field = self.fields["application"]
        field.queryset = allowed  # type: ignore[attr-defined]
        field.required = True
        field.empty_label = "Choose an application"  # type: ignore[attr-defined]
        self.fields["reason"].help_text = "Shown in the calendar and wherever it keeps a gate closed."
