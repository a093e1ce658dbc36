"""The form of a schedule: a rhythm in words, or as a line of cron."""

from typing import Any, Final

from django import forms
from django.utils import timezone

from checks.plan import Plan
from checks.scheduling import schedulable
from releases.models import Application, Environment

EVERY: Final = [
    ("hour", "Every hour"),
    ("day", "Every day"),
    ("week", "Every week"),
    ("month", "Every month"),
    ("cron", "As a line of cron"),
]
WEEKDAYS: Final = [
    ("1", "Monday"), ("2", "Tuesday"), ("3", "Wednesday"), ("4", "Thursday"), ("5", "Friday"), ("6", "Saturday"),
    ("0", "Sunday"),
]  # fmt: skip


class RhythmForm(forms.Form):
    """When: ``cron_line`` is the rhythm as five fields of cron."""

    every = forms.ChoiceField(choices=EVERY, initial="day", label="How often")
    at = forms.TimeField(
        initial="02:00", label="At", required=False, help_text="Hour and minute; every hour takes the minute only."
    )
    weekday = forms.ChoiceField(choices=WEEKDAYS, initial="0", required=False, label="Day of the week")
    day = forms.IntegerField(
        min_value=1, max_value=28, initial=1, required=False, label="Day of the month", help_text="1 to 28."
    )
    cron = forms.CharField(
        max_length=200, required=False, label="Line of cron",
        help_text="Minute, hour, day of the month, month, day of the week: 30 */6 * * * is every six hours.",
    )  # fmt: skip
    zone = forms.CharField(max_length=63, label="Time zone", help_text="Such as UTC or Europe/Berlin.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["zone"].initial = timezone.get_current_timezone_name()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        every = cleaned.get("every")
        needed = {"week": ("at", "weekday"), "month": ("at", "day"), "cron": ("cron",)}.get(str(every), ("at",))
        for name in needed:
            if name not in self.errors and cleaned.get(name) in (None, ""):
                self.add_error(name, "This rhythm needs it.")
        return cleaned

    @property
    def cron_line(self) -> str:
        said = self.cleaned_data
        if said["every"] == "cron":
            return str(said["cron"])
        minute, hour = said["at"].minute, said["at"].hour
        return {
            "hour": f"{minute} * * * *",
            "day": f"{minute} {hour} * * *",
            "week": f"{minute} {hour} * * {said['weekday']}",
            "month": f"{minute} {hour} {said['day']} * *",
        }[said["every"]]


class ScheduleForm(RhythmForm):
    """Which check, where, and when."""

    section = forms.ChoiceField(label="Check")
    environment = forms.ModelChoiceField(
        queryset=Environment.objects.none(), required=False, label="Environment", empty_label="The plan's own",
        help_text="Where it runs; another environment than the plan's only where the check fits there.",
    )  # fmt: skip
    field_order = ("section", "environment", "every", "at", "weekday", "day", "cron", "zone")

    def __init__(self, application: Application, plan: Plan, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["section"].choices = [  # type: ignore[attr-defined]
            (f"checks.{key}", f"{plan.checks[key].title} ({plan.checks[key].environment})") for key in schedulable(plan)
        ]
        places = self.fields["environment"]
        places.queryset = application.environments.all()  # type: ignore[attr-defined]
        places.label_from_instance = lambda place: place.name  # type: ignore[attr-defined]


class ReasonForm(forms.Form):
    """Why a schedule is paused."""

    reason = forms.CharField(
        max_length=500, label="Why", widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept in the ledger with your name.",
    )  # fmt: skip


def rhythm_words(cron: str) -> str:
    """'30 2 * * *' -> 'every day at 02:30'; another rhythm stays as it is written."""
    minute, hour, day, month, weekday = cron.split()
    if month != "*" or not minute.isdecimal():
        return cron
    if (hour, day, weekday) == ("*", "*", "*"):
        return f"every hour at minute {minute}"
    if not hour.isdecimal():
        return cron
    at = f"at {int(hour):02}:{int(minute):02}"
    if (day, weekday) == ("*", "*"):
        return f"every day {at}"
    names = dict(WEEKDAYS)
    if day == "*" and weekday in names:
        return f"every {names[weekday]} {at}"
    if weekday == "*" and day.isdecimal():
        return f"every month on day {day} {at}"
    return cron
