"""How long the server takes for the board and for the list of releases, when there is a lot of history.

    python -m benchmarks.board

200 releases, 20,000 runs, 20,000 pieces of evidence and 1,000,000 ledger rows in a PostgreSQL of its own. Measured
around the whole answer of the page (log-in session, queries, templates), in this process, for a release that is ready
to be launched: every item is answered, one by a waiver, a risk is assessed, each station has voted. Beside it stands
one of which nobody has asked anything yet.
"""

import logging
import os
import statistics
import time
import uuid
from typing import Any

from benchmarks import limits
from benchmarks.ledger import _server

RELEASES, RUNS, ENTRIES, TIMES = 200, 20_000, 1_000_000, 60

FILL = """
SET session_replication_role = replica;
INSERT INTO checks_run (id, number, application_id, release_id, environment_id, plan_version_id, kind, section,
    section_digest, build_digest, params, state, attempt, worker, alone_in, exclusive, progress, verdict,
    summary, result, error, remedy, created_at, queued_at, started_at, ended_at, log_lines, log_bytes, log_sealed,
    log_key)
SELECT gen_random_uuid(), nextval('checks_run_number'), r.application_id, r.id, r.source_environment_id,
    r.plan_version_id, 'suite', 'checks.check-' || n %% 5, repeat('0', 64), r.build_digest, '{}', 'passed', 1, 'bench',
    '{}', false, '{}', 'passed', 'Passed.', '{}', '', '', at, at, at, at + interval '20 s', 100, 5000, true, ''
FROM generate_series(1, %(runs)s) AS n
JOIN LATERAL (SELECT now() - n * interval '30 s' AS at) AS t ON true
JOIN bench_release r ON r.place = n %% %(releases)s;
INSERT INTO releases_evidence (id, release_id, source, kind, section, section_digest, run_id, run_number,
    environment_id, build_digest, verdict, summary, figures, artifacts, recorded_at, link, link_note)
SELECT gen_random_uuid(), release_id, 'run', kind, section, section_digest, id, number, environment_id, build_digest,
    'passed', 'Passed.', '{}', '[]', ended_at, '', ''
FROM checks_run;
INSERT INTO releases_ledgerentry (sequence, at, actor_name, action, subject_type, subject_id, application_id,
    release_id, request_id, document, canonical, previous, hash)
SELECT n, now() - (%(entries)s - n) * interval '1 s', 'Bench', 'run.ended', 'run', n::text, r.application_id, r.id, '',
    jsonb_build_object('section', 'checks.check-' || n %% 5, 'summary', 'Passed.'), '\\x00'::bytea,
    sha256(int8send(n - 1)), sha256(int8send(n))
FROM (SELECT generate_series AS n FROM generate_series(
    (SELECT coalesce(max(sequence), 0) + 1 FROM releases_ledgerentry), %(entries)s)) AS numbers
JOIN bench_release r ON r.place = n %% %(releases)s;
"""


def main() -> None:
    with _server() as url:
        os.environ["DATABASE_URL"] = url
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        # As the web server does it: every view loaded, what is loaded left out of garbage collection.
        from django.conf import settings
        from django.core.management import call_command

        import config.asgi  # noqa: F401 - loading it is what counts

        settings.ALLOWED_HOSTS = ["testserver"]
        settings.SECURE_SSL_REDIRECT = False
        # No Redis here: what would ring there is of no interest, nor who logs in.
        for name in ("releases.doorbell", "axes"):
            logging.getLogger(name).setLevel(logging.ERROR)
        call_command("migrate", verbosity=0)
        ready, early, user = fill(url)
        measure("board", f"/releases/{ready}/", user, 40)
        measure("board.part", f"/releases/{ready}/?part=board", user, 40)
        measure("board.early", f"/releases/{early}/", user, 40)
        measure("runs_panel", f"/runs/release/{ready}/panel", user, 40)
        measure("release_list", "/", user, None)
        measure("run_list", "/runs/", user, None)


def fill(url: str) -> tuple[uuid.UUID, uuid.UUID, Any]:
    """Real releases by the domain's own verbs; runs, evidence and ledger rows in bulk, with the triggers off.

    One that is ready to be launched, one of which nobody asked anything, and a release manager.
    """
    import psycopg

    from releases.models import Release
    from tests.factories import check, make_application, make_release, make_team

    checks = {f"check-{number}": check("suite") for number in range(5)}
    application = make_application(plan={"checks": checks})
    team = make_team(application)
    for number in range(RELEASES):
        make_release(application=application, requester=team.engineer, version=f"1.{number}", rehearsing=number < 40)
    newest = Release.objects.order_by("created_at").values_list("pk", flat=True)
    with psycopg.connect(url.replace("gonogo:benchmark@", "postgres:benchmark@", 1), autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE bench_release AS SELECT *, row_number() OVER (ORDER BY created_at) - 1 AS place "
            "FROM releases_release"
        )
        for statement in FILL.split(";\n"):
            if statement.strip():
                connection.execute(
                    statement, {"runs": RUNS, "releases": RELEASES, "entries": ENTRIES} if "%(" in statement else None
                )
        connection.execute("VACUUM ANALYZE")
    make_ready(Release.objects.get(pk=newest[20]), team)
    return newest[20], newest[21], team.manager


def make_ready(release: Any, team: Any) -> None:
    from datetime import timedelta

    from django.utils import timezone

    from releases.domain import checklist, risk
    from releases.domain import gate as gates
    from tests.factories import make_approved

    waived = release.items.get(key="testing.check-4")
    until = timezone.now() + timedelta(days=7)
    waiver = checklist.request_waiver(item=waived, requester=team.manager, reason="Next time.", expires_at=until)
    checklist.approve_waiver(waiver=waiver, approver=team.approvers["security"])
    # A waiver proves nothing, so two people say where the risk stands that the item mitigates.
    assessment = risk.assess(
        risk=release.risks.get(key="unforeseen"), author=team.manager, likelihood=2, impact=3, treatment="mitigate",
        reason="Seen in staging.",
    )  # fmt: skip
    risk.confirm_assessment(assessment=assessment, actor=team.approvers["security"])
    make_approved(release, team, answered=(waived.key,))
    if release.state != "approved":
        blockers = [blocker.text for blocker in gates.evaluate(release).blockers]
        raise RuntimeError(f"The release is {release.state}, and was to be approved: {blockers}")


def measure(name: str, path: str, user: Any, limit: int | None) -> None:
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(headers={"HX-Request": "true"} if "part=" in path else {})
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(path)
    asked = len(queries)
    if answer.status_code != 200:
        raise RuntimeError(f"{path} answered {answer.status_code}")
    seconds = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        client.get(path).close()
        seconds.append((time.perf_counter() - begun) * 1000)
    middle = statistics.median(seconds)
    shown = limits.limited(f"page.{name}.p50, ms", middle, at_most=limit) if limit else "-"
    print(f"{'page.' + name + '.p50':44} {middle:10.1f} ms     {shown}", flush=True)
    print(f"{'page.' + name + '.p95':44} {sorted(seconds)[int(TIMES * 0.95)]:10.1f} ms     -", flush=True)
    print(f"{'page.' + name + '.queries':44} {asked:10}        -", flush=True)


if __name__ == "__main__":
    main()
    limits.end()
