"""Forms of an application."""

from django import forms

from releases.models import Application


class ApplicationForm(forms.ModelForm):  # type: ignore[type-arg]  # the class takes no arguments at run time
    """What people read about an application, and where its plan's files stand."""

    class Meta:
        model = Application
        fields = ("name", "description", "plan_folder")
        widgets = {"description": forms.Textarea(attrs={"rows": 3})}
        help_texts = {
            "plan_folder": "Folder on the workers that holds the plan's scripts and builds, such as /srv/shop. "
            "Leave it empty where the plan needs no files.",
        }


class NewApplicationForm(ApplicationForm):
    """The slug is chosen once."""

    slug = forms.RegexField(
        r"^[a-z0-9][a-z0-9_-]{0,59}$",
        label="Short name (slug)",
        help_text="How it is called in addresses and in the plan, such as shop. It is never changed.",
        error_messages={
            "invalid": "A slug begins with a small letter or digit and holds small letters, digits, - and _, "
            "60 at most."
        },
    )
    field_order = ("slug", "name", "description", "plan_folder")
