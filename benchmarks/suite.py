"""A JUnit report of 50,000 cases: read, kept, compared with the last release, and shown.

    python -m benchmarks.suite

Reading is measured in processes of their own, in turns with two peers over the same file: a plain loop of defusedxml's
iterparse, which counts the cases and keeps nothing, and the standard library's own parse, which keeps the tree. What a
process needs before it reads is taken off its peak. A whole run is one of the kind ``suite`` through the engine, with
ten runs of the last release and ten of this build behind it, of which as many are read as the comparison looks at;
flaky tests are among them. Its statements are counted, and have to be as many as with a twentieth of the runs.
"""

import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from benchmarks.ledger import _server

CASES, SUITES, RUNS, TIMES, ROUNDS = 50_000, 400, 10, 20, 3
#: Times a plain iterparse, by the processor's time, so that what else runs does not count; then those of a whole run.
MOST_TIMES, MOST_READING_MEGABYTES, MOST_SECONDS, MOST_MEGABYTES, MOST_STATEMENTS = 8.0, 100.0, 10.0, 100.0, 60
_MISSED: list[str] = []
#: One case in so many fails, with a traceback.
FAILS: Final = 200
_TRACE: Final = "\n".join(f'  File "shop/tests/test_cart.py", line {line}, in test_price' for line in range(30))


def main() -> int:
    if sys.argv[1:2] == ["--read"]:
        _read(sys.argv[2], Path(sys.argv[3]))
        return 0
    if sys.argv[1:2] == ["--run"]:
        _run_here(sys.argv[2], int(sys.argv[3]))
        return 0
    with tempfile.TemporaryDirectory(prefix="gonogo-bench-") as folder, _server() as url:
        report = Path(folder, "junit.xml")
        report.write_text(junit(0))
        print(f"{'suite.report.size':36} {report.stat().st_size / 1e6:10.1f} MB    {CASES:,} cases, {SUITES} suites")
        _measure_reading(report)
        os.environ["DATABASE_URL"] = url
        _measure_run()
    return 1 if _MISSED else 0


def junit(turn: int) -> str:
    """Each turn has other times and one case that is its own; every second turn another case fails."""
    suites = []
    for suite in range(SUITES):
        cases = []
        for number in range(suite, CASES, SUITES):
            fails = number % FAILS == 0 and number != turn % 2 * FAILS
            body = f'<failure message="assert {number} == 2">{_TRACE}</failure>' if fails else ""
            seconds = (number % 97 + turn) / 100
            cases.append(
                f'<testcase classname="shop.tests.test_{suite}.Cart" name="test_price_{number}[{number % 7}]" '
                f'time="{seconds}">{body}</testcase>'
            )
        suites.append(f'<testsuite name="shop.tests.test_{suite}" tests="{len(cases)}">{"".join(cases)}</testsuite>')
    return f"<testsuites>{''.join(suites)}<testsuite><testcase name='turn {turn}'/></testsuite></testsuites>"


def _show(name: str, value: float, unit: str, beside: str) -> None:
    print(f"{'suite.' + name:36} {value:10.1f} {unit:5} {beside}", flush=True)


def _judge(name: str, value: float, unit: str, most: float, beside: str = "") -> None:
    _show(name, value, unit, f"limit {most:g}{beside}")
    if value > most:
        _MISSED.append(name)


# --- reading ---------------------------------------------------------------------------------------------------------


def _measure_reading(report: Path) -> None:
    # In turns, so that both meet the same machine.
    hows = ("ours", "plain", "tree")
    turns = [{how: _child("--read", how, str(report)) for how in hows} for _ in range(ROUNDS)]
    seconds = {how: statistics.median(turn[how][0] for turn in turns) for how in hows}
    memory = {how: statistics.median(turn[how][1] for turn in turns) for how in hows}
    _show("read", seconds["ours"], "s cpu", f"plain iterparse {seconds['plain']:.1f}, tree {seconds['tree']:.1f}")
    times = statistics.median(turn["ours"][0] / turn["plain"][0] for turn in turns)
    _judge("read.times_iterparse", times, "times", MOST_TIMES)
    peers = f", plain iterparse {memory['plain']:.1f}, tree {memory['tree']:.1f}"
    _judge("read.memory", memory["ours"], "MB", MOST_READING_MEGABYTES, peers)


def _child(*arguments: str) -> tuple[float, float, int]:
    """Seconds (of the processor where it only reads), megabytes by which it grew at its peak, and statements."""
    command = [sys.executable, "-m", "benchmarks.suite", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, megabytes, statements = done.stdout.split()
    return float(seconds), float(megabytes), int(statements)


def _read(how: str, report: Path) -> None:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    from defusedxml.ElementTree import iterparse

    from checks.tools import case_history, junit

    before, begun = _peak(), time.process_time()
    with report.open("rb") as source:
        if how == "ours":
            cases = case_history.Cases()
            counted = junit.read_reports([(report.name, source)], cases).counts.total
        elif how == "tree":
            tree = ElementTree.parse(source)  # noqa: S314 - our own file, and the peer is the plain parser
            counted = sum(1 for _ in tree.iter("testcase"))
        else:
            counted = 0
            for _, element in iterparse(source):
                counted += element.tag == "testcase"
                element.clear()
    if counted != CASES + 1:
        raise RuntimeError(f"{how} read {counted} cases")
    print(time.process_time() - begun, _peak() - before, 0)


def _peak() -> float:
    """Megabytes. Not by getrusage, which counts what the parent had taken before this process began."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


# --- a whole run -----------------------------------------------------------------------------------------------------


def _load() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    from django.conf import settings

    import config.asgi  # noqa: F401 - as the web server and the worker have it loaded

    settings.ALLOWED_HOSTS = ["testserver"]
    settings.SECURE_SSL_REDIRECT = False
    for name in ("releases.doorbell", "axes"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _measure_run() -> None:
    _load()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from tests.factories import check, make_application, make_release, make_team

    application = make_application(plan={"checks": {"unit": check("suite")}})
    team = make_team(application)
    old, new = (make_release(application=application, requester=team.manager, rehearsing=False) for _ in range(2))
    runs = [_run(application, old, 0)]
    _show("run.alone", runs[0][1], "s", "-")
    first = _child("--run", str(new.pk), str(RUNS))[2]
    runs += [_run(application, old if turn < RUNS else new, turn) for turn in range(1, 2 * RUNS) if turn != RUNS]
    seconds, memory, statements = _child("--run", str(new.pk), str(2 * RUNS))
    earlier = f", {RUNS} runs of the last release, {RUNS} of this build"
    _judge("run.compared", seconds, "s", MOST_SECONDS, earlier)
    _judge("run.compared.memory", memory, "MB", MOST_MEGABYTES)
    _judge("run.compared.statements", statements, "", MOST_STATEMENTS, f", {first} with one earlier run")
    run = new.runs.get(number=runs[-1][0].number + 1)
    counts = run.result["compared"]["counts"]
    if (counts["flaky"], counts["gone"], counts["added"]) != (2, 1, 1):
        raise RuntimeError(f"compared otherwise than it is: {counts}")
    _measure_pages(run, team.manager)


def _run_here(release_id: str, turn: int) -> None:
    """One run in a process that did nothing else before."""
    _load()
    from releases.models import Release

    release = Release.objects.select_related("application").get(pk=release_id)
    before, counted = _peak(), [0]

    def count(execute: Callable[..., Any], *statement: Any) -> Any:
        counted[0] += 1
        return execute(*statement)

    from django.db import connection

    with connection.execute_wrapper(count):
        _, seconds = _run(release.application, release, turn)
    print(seconds, _peak() - before, counted[0])


def _run(application: Any, release: Any, turn: int) -> tuple[Any, float]:
    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage

    from tests.engine.support import run_section

    report = ContentFile(junit(turn).encode())
    name = default_storage.save(f"uploads/{application.slug}/junit.xml", report)
    begun = time.perf_counter()
    run = run_section(application, "checks.unit", release=release, params={"uploaded": name})
    seconds = time.perf_counter() - begun
    if run.state != "failed":
        raise RuntimeError(f"the run ended as {run.state}: {run.error}")
    return run, seconds


def _measure_pages(run: Any, user: Any) -> None:
    from django.test import Client

    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    _show("page.size", len(client.get(f"/runs/{run.number}/").content) / 1e6, "MB", "-")
    _show("page.p50", _median(lambda: client.get(f"/runs/{run.number}/")), "ms", "-")
    _show("list.p50", _median(lambda: client.get("/runs/")), "ms", f"{2 * RUNS + 1} such runs")


def _median(ask: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        answer = ask()
        seconds.append((time.perf_counter() - begun) * 1000)
        if answer.status_code != 200:
            raise RuntimeError(f"a page answered {answer.status_code}")
    return statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(main())
