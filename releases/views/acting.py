"""What every POST does: one verb, then the page it belongs to, with what happened."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from releases.errors import DomainError


def act(request: HttpRequest, verb: Callable[[], Any], *, done: str, to: str, **arguments: Any) -> HttpResponse:
    """Do the verb and go to ``to``; a refusal is shown there in the domain's own words."""
    try:
        verb()
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, done)
    response: HttpResponse = redirect(to, **arguments)
    return response


def refuse(form: BaseForm, error: DomainError) -> None:
    """Show a refusal at the field it names, or above the form."""
    form.add_error(error.field if error.field in form.fields else None, error.message)
