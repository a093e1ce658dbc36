"""One's own page: who one is here, in which zone, and with which roles."""

import zoneinfo

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from releases.models import User
from releases.people import person


class PersonForm(forms.ModelForm):  # type: ignore[type-arg]  # the class takes no arguments at run time
    time_zone = forms.ChoiceField(
        choices=[(name, name) for name in sorted(zoneinfo.available_timezones())],
        help_text="Every time on the pages is shown in this zone.",
    )

    class Meta:
        model = User
        fields = ("name", "time_zone")


@login_required
@require_http_methods(["GET", "POST"])
def me(request: HttpRequest) -> HttpResponse:
    user = person(request)
    form = PersonForm(request.POST or None, instance=user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("releases:person")
    memberships = user.memberships.select_related("application").order_by("application__name", "role")
    return render(
        request, "releases/user/me.html", {"form": form, "memberships": memberships}, status=422 if form.errors else 200
    )
