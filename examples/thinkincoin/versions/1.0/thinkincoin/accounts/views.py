from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from thinkincoin.accounts.forms import PreferencesForm, SignUpForm
from thinkincoin.accounts.models import Preferences


def sign_up(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect("my_progress")
    form = SignUpForm(request.POST or None)
    if form.is_valid():
        login(request, form.save())
        messages.success(request, "Your account is ready. Choose your first course.")
        return redirect("course_list")
    return render(request, "accounts/sign_up.html", {"form": form})


@login_required
def preferences(request: HttpRequest) -> HttpResponse:
    form = PreferencesForm(request.POST or None, instance=Preferences.of(request.user))
    if form.is_valid():
        form.save()
        messages.success(request, "Your preferences are saved.")
        return redirect("preferences")
    return render(request, "accounts/preferences.html", {"form": form})
