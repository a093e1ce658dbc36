"""Inviting a person, sending the link again, and what the invited person sees."""

import logging
import smtplib
from typing import Any, Final

from allauth.account.utils import perform_login
from allauth.core import ratelimit
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.views import INTERNAL_RESET_SESSION_TOKEN, PasswordResetConfirmView
from django.core.mail import send_mail
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from releases.domain import user as users
from releases.errors import DomainError
from releases.forms.user import InviteForm
from releases.models import User
from releases.people import person
from releases.people_queries import manageable_applications
from releases.permissions import get_person_or_404
from releases.views.acting import refuse
from releases.views.people import manager

logger = logging.getLogger(__name__)
#: Where mail goes when EMAIL_URL names a folder or the console: to nobody.
_KEEPING: Final = ("filebased", "console", "dummy")


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def invite(request: HttpRequest) -> HttpResponse:
    viewer = manager(request)
    initial = {"application": request.GET.get("application", ""), "email": request.GET.get("email", "")}
    form = InviteForm(manageable_applications(viewer), request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        if limited := _too_many(request, form.cleaned_data["email"]):
            return limited
        try:
            return _handed_over(request, users.invite_person(actor=viewer, **form.cleaned_data))
        except DomainError as error:
            refuse(form, error)
    context = {"nav": "people", "form": form}
    return render(request, "releases/user/invite.html", context, status=422 if form.errors else 200)


@login_required
@never_cache
@require_POST
def send_again(request: HttpRequest, user_id: int) -> HttpResponse:
    viewer = manager(request)
    user = get_person_or_404(viewer, user_id)
    if limited := _too_many(request, user.email):
        return limited
    try:
        return _handed_over(request, users.renew_invitation(user=user, actor=viewer))
    except DomainError as error:
        context = {"nav": "people", "shown": user, "refusal": error.message}
        return render(request, "releases/user/handed_over.html", context, status=422)


def _too_many(request: HttpRequest, email: str) -> HttpResponse | None:
    """The limits of links for forgotten passwords hold for invitations as well."""
    limited: HttpResponse | None = ratelimit.consume_or_429(request, action="reset_password", key=email.lower())
    return limited


def _handed_over(request: HttpRequest, invitation: users.Invitation) -> HttpResponse:
    """Send the link. Only where no mail went out is it shown, here and once, and the ledger keeps that it was: who
    has it can act as the invited person, and whoever invites shall not.
    """
    user = invitation.user
    identity = urlsafe_base64_encode(force_bytes(user.pk))
    link = f"{settings.PUBLIC_URL}{reverse('releases:accept', args=[identity, invitation.token])}"
    mail = _send(person(request), user, link)
    if mail != "sent":
        users.show_link(user=user, actor=person(request))
    context = {
        "nav": "people",
        "shown": user,
        "link": link if mail != "sent" else "",
        "hours": settings.PASSWORD_RESET_TIMEOUT // 3600,
        "mail": mail,
    }
    return render(request, "releases/user/handed_over.html", context)


def _send(sender: User, user: User, link: str) -> str:
    """sent, kept (no mail server is set; it stands in a folder or a log) or refused."""
    context = {"sender": sender, "user": user, "link": link, "hours": settings.PASSWORD_RESET_TIMEOUT // 3600}
    text = render_to_string("releases/user/invitation.txt", context)
    try:
        taken = send_mail("[Go/No-Go] Your account", text, None, [user.email])
    except (OSError, smtplib.SMTPException) as error:
        logger.warning("invitation.not_sent", extra={"user": user.pk, "error": str(error)})
        return "refused"
    if not taken:
        return "refused"
    return "kept" if settings.EMAIL_BACKEND.rsplit(".", 2)[-2] in _KEEPING else "sent"


class AcceptView(PasswordResetConfirmView):
    """The link of an invitation. The token moves into the session at once, so that no later request names it."""

    token_generator = users.invitation_tokens
    form_class = SetPasswordForm  # type: ignore[assignment]  # the class takes no arguments at run time
    template_name = "releases/user/accept.html"

    def dispatch(self, *args: Any, **kwargs: Any) -> HttpResponseBase:
        limited: HttpResponse | None = ratelimit.consume_or_429(self.request, action="reset_password_from_key")
        return limited or super().dispatch(*args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        """Keep the password and log in, by way of whatever a log-in asks."""
        token = self.request.session[INTERNAL_RESET_SESSION_TOKEN]
        assert isinstance(self.user, User)
        try:
            user = users.accept_invitation(user=self.user, token=token, password=form.cleaned_data["new_password1"])
        except DomainError as error:
            refuse(form, error)
            return self.form_invalid(form)
        del self.request.session[INTERNAL_RESET_SESSION_TOKEN]
        answer: HttpResponse = perform_login(self.request, user)
        return answer

    def form_invalid(self, form: Any) -> HttpResponse:
        """Show the form again as what it is: refused."""
        answer = super().form_invalid(form)
        answer.status_code = 422
        return answer
