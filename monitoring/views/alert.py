"""The test alert: sending it, and confirming that it was received."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from monitoring.domain import alert as alerts
from monitoring.models import Alert
from releases.errors import DomainError
from releases.people import person
from releases.permissions import get_release_or_404, visible_applications
from releases.views.acting import act


@login_required
@require_POST
def send_test(request: HttpRequest, release_id: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    return act(
        request,
        lambda: alerts.send_test_alert(release=release, actor=person(request)),
        done="The test alert is on its way. Who gets it follows the link in it to confirm.",
        to="releases:release",
        release_id=release.pk,
    )


@login_required
@require_http_methods(["GET", "POST"])
def receipt(request: HttpRequest, code: str) -> HttpResponse:
    """The page behind the link in a test alert. Only the button confirms: mail programs open links by themselves."""
    alert = (
        Alert.objects.filter(receipt_code=code, application__in=visible_applications(request.user))
        .select_related("application", "release__application", "received_by")
        .first()
    )
    problem = ""
    if request.method == "POST":
        try:
            evidence = alerts.confirm_receipt(code=code, actor=person(request))
            messages.success(request, "Thank you. The receipt is kept as evidence.")
            return redirect("releases:release", evidence.release_id)
        except DomainError as error:
            problem = error.message
    context = {"nav": "monitoring", "alert": alert, "problem": problem}
    return render(request, "monitoring/alert/receipt.html", context, status=422 if problem else 200 if alert else 404)
