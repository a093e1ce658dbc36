"""The page of imported advisories, and OSV's ``/v1/query`` over them."""

from ipaddress import ip_address
from typing import Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.request import split_domain_port
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from checks import advisories
from checks.advisories.querying import MAX_BODY_BYTES
from checks.advisory_forms import AdvisoriesForm
from checks.models import AdvisorySnapshot
from releases.errors import DomainError
from releases.paging import page_of
from releases.people import person
from releases.permissions import manages_people
from releases.views.acting import refuse

#: Whoever set one of these stands between us and who asks.
_FORWARDED: Final = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_VIA")
_LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


@login_required
@require_http_methods(["GET", "POST"])
def advisory_page(request: HttpRequest) -> HttpResponse:
    """What was imported, and by an administrator a further import; it counts for every application here."""
    may_import = manages_people(request.user)
    form = AdvisoriesForm(request.POST or None, request.FILES or None) if may_import else None
    if request.method == "POST":
        if form is None:
            raise Http404("Only an administrator imports advisories.")
        if form.is_valid() and (done := _import(request, form)):
            messages.success(request, done)
            return redirect("checks:advisories")
    context = {
        "ages": advisories.ages(),
        "page": page_of(request, AdvisorySnapshot.objects.select_related("imported_by")),
        "form": form,
    }
    return render(request, "checks/advisories/page.html", context, status=422 if form and form.errors else 200)


def _import(request: HttpRequest, form: AdvisoriesForm) -> str:
    data = dict(form.cleaned_data)
    archive = data.pop("archive")
    try:
        snapshot = advisories.import_advisories(source=archive.file, name=archive.name, actor=person(request), **data)
    except DomainError as error:
        refuse(form, error)
        return ""
    return f"{snapshot.advisories:,} advisories count now; {snapshot.withdrawn:,} withdrawn ones were left out."


@csrf_exempt
@require_POST
def osv_query(request: HttpRequest) -> JsonResponse:
    """OSV's question about one package, for the tools of this machine; see docs/decisions/advisories-on-loopback.md.

    Called by ``config.middleware.OsvMiddleware``, before there is a session or a person.
    """
    if not _is_local(request):
        raise Http404("This is answered on this machine only.")
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
        return JsonResponse({"code": 3, "message": "The question has no length, or is too long."}, status=400)
    status, document = advisories.answer(request.body)
    return JsonResponse(document, status=status)


def _is_local(request: HttpRequest) -> bool:
    """Asked by a program on this machine, by this machine's own name, with nobody in between who says so."""
    if any(request.META.get(name) for name in _FORWARDED):
        return False
    host, _ = split_domain_port(request.get_host())
    try:
        return host in _LOCAL_NAMES and ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
