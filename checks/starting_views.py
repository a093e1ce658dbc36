"""Starting runs: the menu, one with parameters, one as planned, what blocks, and one again.

Whatever leaves something behind is started from a page that says so.
"""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from checks import page_queries as queries
from checks import presenting, services, starting, uploads
from checks.forms import LaunchForm
from checks.kinds.base import get_kind
from checks.log_views import visible_run
from checks.plan import from_document
from releases.errors import DomainError
from releases.models import Release
from releases.people import person
from releases.permissions import get_release_or_404, require, roles_in

STARTERS = services.STARTERS


def may_start(request: HttpRequest, release: Release) -> bool:
    return bool(roles_in(request.user, release.application) & set(STARTERS))


@login_required
@require_GET
def start_menu(request: HttpRequest, release_id: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    # As the checklist asks for them; what answers no item comes last.
    asked = list(release.items.order_by("pk").values_list("section", flat=True))
    choices = queries.startable(release)
    choices.sort(key=lambda choice: asked.index(choice.section) if choice.section in asked else len(asked))
    context = {
        "release": release,
        "choices": choices,
        "may_start": may_start(request, release),
        "refresh": from_document(release.plan_version.document).refresh,
    }
    return render(request, "checks/run/start.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def launch(request: HttpRequest, release_id: str, section: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    plan = from_document(release.plan_version.document)
    check = plan.checks.get(section.removeprefix("checks."))
    if check is None:
        raise Http404(f"Plan v{release.plan_version.number} has no section {section}.")
    sent = (request.POST, request.FILES) if request.method == "POST" else (None, None)
    form = LaunchForm(get_kind(check.kind), check.params, *sent)
    if request.method == "POST" and form.is_valid():
        try:
            require(request.user, release.application, *STARTERS)
            with uploads.kept_unless_refused() as kept:
                run = services.start_run(
                    application=release.application,
                    release=release,
                    section=section,
                    actor=person(request),
                    params=form.params | form.store_files(f"uploads/{release.application.slug}", kept),
                )
            return redirect("checks:run_detail", run.number)
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, error.message)
    context = {
        "release": release,
        "check": check,
        "kind": get_kind(check.kind),
        "section": section,
        "form": form,
        "left_behind": starting.left_behind(check.kind, check.params),
        "may_start": may_start(request, release),
    }
    return render(request, "checks/run/launch.html", context)


@login_required
@require_POST
def start_planned(request: HttpRequest, release_id: str, section: str) -> HttpResponse:
    """Start a check as the plan describes it, without asking for parameters; goes on to the run."""
    release = get_release_or_404(request.user, release_id)
    check = from_document(release.plan_version.document).checks.get(section.removeprefix("checks."))
    if check is None:
        raise Http404(f"Plan v{release.plan_version.number} has no section {section}.")
    if starting.left_behind(check.kind, check.params):
        return redirect("checks:launch", release.pk, section)
    try:
        run = services.start_run(
            application=release.application, release=release, section=section, actor=person(request)
        )
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("releases:release", release.pk)
    return redirect("checks:run_detail", run.number)


@login_required
@require_http_methods(["GET", "POST"])
def start_blocking(request: HttpRequest, release_id: str) -> HttpResponse:
    """Start what blocks and can be started; say what was started, and of the rest why not.

    Where some of it leaves something behind, a page says what, and a person chooses there; nothing was started then.
    """
    release = get_release_or_404(request.user, release_id)
    try:
        require(request.user, release.application, *STARTERS)
        wanted = starting.wanted(release)
        if request.POST.get("choice") == "quiet":
            wanted = [one for one in wanted if not one.left_behind]
        unread = {_read_as(release, one) for one in wanted if one.left_behind} - set(request.POST.getlist("read"))
        if request.method == "GET" or unread:
            return _left_behind_page(request, release, wanted)
        started, refused = starting.start_blocking(release=release, actor=person(request), only=wanted)
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("releases:release", release.pk)
    for sentence in refused:
        messages.warning(request, sentence)
    if started:
        numbers = ", ".join(f"#{run.number} {run.section.removeprefix('checks.')}" for run in started)
        messages.success(request, f"Started {numbers}.")
    elif not refused:
        messages.info(request, "No check that blocks can be run. Nothing was started.")
    return redirect("releases:release", release.pk)


def _read_as(release: Release, one: starting.Wanted) -> str:
    """What the page sends back for a check whose sentences were read: of another plan they may be others."""
    return f"{release.plan_version.number} {one.section}"


def _left_behind_page(request: HttpRequest, release: Release, wanted: list[starting.Wanted]) -> HttpResponse:
    rows = [{"wanted": one, "read": _read_as(release, one) if one.left_behind else ""} for one in wanted]
    quiet = sum(not row["read"] for row in rows)
    context = {"release": release, "rows": rows, "quiet": quiet, "left_behind": len(rows) > quiet}
    return render(request, "checks/run/start_blocking.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def retry(request: HttpRequest, number: int) -> HttpResponse:
    """Start a run again as it was; one that leaves something behind from a page that says so."""
    run = visible_run(request.user, number)
    sentences = starting.left_behind(run.kind, run.params)
    if request.method == "GET" or (sentences and "read" not in request.POST):
        context = {"run": run, "shown": presenting.shown(run), "left_behind": sentences}
        return render(request, "checks/run/start_again.html", context)
    try:
        again = services.retry_run(run=run, actor=person(request))
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("checks:run_detail", run.number)
    messages.success(request, "Started again as a new run.")
    return redirect("checks:run_detail", again.number)
