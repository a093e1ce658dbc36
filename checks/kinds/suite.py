"""Test suite: the application's own tests by their own command, or an uploaded report, read from JUnit XML."""

import contextlib
import glob
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Any, Final

from django.core.files.storage import default_storage
from pydantic import AfterValidator, Field

from checks.enums import StepCategory
from checks.errors import CheckError
from checks.kinds.base import Artifact, Completed, Kind, KindParams, Outcome, RunContext, Step, register
from checks.plan import Command, Plan
from checks.tools import junit

MAX_REPORTS: Final = 500
MAX_KEPT_REPORTS: Final = 50
#: Where uploaded reports are kept, one folder for each application.
UPLOADS: Final = "uploads"
# Some file systems keep whole seconds only.
_CLOCK_SLACK_SECONDS: Final = 2.0


def _below(pattern: str) -> str:
    path = PurePosixPath(pattern)
    if path.is_absolute() or ".." in path.parts or not pattern.strip():
        raise ValueError("a report is named by a path below the run's work folder or the plan's folder")
    return pattern


class SuiteParams(KindParams):
    """Either ``command`` with ``reports``, or ``uploaded``."""

    command: Command | None = Field(default=None, description="Runs the tests and writes the reports.")
    reports: list[Annotated[str, AfterValidator(_below)]] = Field(
        default=["reports/*.xml"],
        min_length=1,
        max_length=20,
        description="Patterns of JUnit XML files, below the run's work folder (GONOGO_WORK) or the plan's folder.",
    )
    uploaded: str = Field(
        default="",
        max_length=500,
        title="Uploaded report",
        json_schema_extra={"upload": True},
        description="The name in storage of a report that was uploaded; then no command is run.",
    )


@register
class Suite(Kind):
    name = "suite"
    title = "Test suite"
    description = "Runs the application's own tests, or takes an uploaded JUnit report, and names every failure."
    Params = SuiteParams
    needs_release = False

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        first = Step("tests", "Fetch the uploaded report") if params.uploaded else Step("tests", "Run the tests")
        return [first, Step("reports", "Read the reports", StepCategory.CHECK)]

    def run(self, context: RunContext) -> Outcome:
        params: SuiteParams = context.params
        if params.uploaded:
            return self._judge_upload(context, params.uploaded)
        if params.command is None:
            raise CheckError(
                "There is neither a test command in the plan nor an uploaded report.",
                remedy="Name a command in the plan's section, or upload a report when you start the run.",
            )
        begin = time.time()
        with context.step("tests"):
            completed = context.command(
                params.command.arguments,
                timeout=params.command.timeout.total_seconds(),
                variables=params.command.variables,
                check=False,
            )
            if completed.timed_out:
                raise CheckError(
                    f"The tests were ended after {completed.seconds:.0f} s, so nothing is known about the rest.",
                    remedy="Raise the timeout of the command in the plan, or make the tests faster.",
                )
        with context.step("reports") as step:
            paths = _find_reports(context, params.reports, begin, completed)
            step.doing(f"{len(paths)} reports")
            with contextlib.ExitStack() as files:
                report = junit.read_reports(_opened(context, paths, files))
            kept = [context.store(f"reports/{number}-{path.name}", path) for number, path in _first(paths)]
            if not report.all_green:
                step.fail(_verdict(report))
        return _outcome(context, report, kept, completed)

    def _judge_upload(self, context: RunContext, key: str) -> Outcome:
        folder = f"{UPLOADS}/{context.run.application.slug}/"
        with context.step("tests"):
            if not key.startswith(folder) or ".." in PurePosixPath(key).parts or not default_storage.exists(key):
                raise CheckError(
                    f"There is no uploaded report called {key!r} for this application.",
                    remedy="Upload it again when you start the run.",
                )
            copy = context.scratch / "uploaded.xml"
            with default_storage.open(key) as source, copy.open("wb") as target:
                while piece := source.read(1024 * 1024):
                    context.check()
                    target.write(piece)
        with context.step("reports") as step:
            with copy.open("rb") as file:
                report = junit.read_reports([(PurePosixPath(key).name, file)])
            kept = [context.store(f"reports/{PurePosixPath(key).name}", copy)]
            _refuse_other_build(context, report)
            if not report.all_green:
                step.fail(_verdict(report))
        return _outcome(context, report, kept, None)


def _opened(context: RunContext, paths: list[Path], files: contextlib.ExitStack) -> Iterator[tuple[str, IO[bytes]]]:
    for path in paths:
        context.check()
        yield path.name, files.enter_context(path.open("rb"))


def _first(paths: list[Path]) -> Iterator[tuple[int, Path]]:
    return enumerate(paths[:MAX_KEPT_REPORTS], start=1)


def _find_reports(context: RunContext, patterns: list[str], begin: float, completed: Completed) -> list[Path]:
    """Report files that this command wrote. CheckError where there is none, or only ones from before it began."""
    folders = [context.scratch]
    if context.run.application.plan_folder:
        folders.append(Path(context.run.application.plan_folder))
    found = sorted({path for folder in folders for pattern in patterns for path in _matches(folder, pattern)})
    stale = [path for path in found if path.stat().st_mtime < begin - _CLOCK_SLACK_SECONDS]
    for path in stale:
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        context.warn(f"{path.name} was written at {written:%Y-%m-%d %H:%M:%S} UTC, before this run: not counted.")
    fresh = [path for path in found if path not in stale]
    if not fresh:
        which = f"Only reports from before this run were found: {stale[0].name}." if stale else "No report was found."
        raise CheckError(
            f"{which} The test command ended with {completed.returncode}.",
            remedy=f"Let the command write JUnit XML to {', '.join(patterns)} in $GONOGO_WORK, and look in the log.",
        )
    if len(fresh) > MAX_REPORTS:
        raise CheckError(f"{len(fresh)} reports match {', '.join(patterns)}; at most {MAX_REPORTS} are read.")
    return fresh


def _matches(folder: Path, pattern: str) -> Iterator[Path]:
    """Regular files below the folder; a link that leads out of it is not one."""
    root = folder.resolve()
    for name in glob.iglob(pattern, root_dir=folder, recursive=True):  # noqa: PTH207 - Path.glob follows no links down
        path = (folder / name).resolve()
        if path.is_file() and path.is_relative_to(root):
            yield path


def _refuse_other_build(context: RunContext, report: junit.Report) -> None:
    """An uploaded report may say which build it is about; one about another build answers nothing here."""
    own = context.run.build_digest
    others = {build for build in report.builds if build.removeprefix("sha256:") != own}
    if own and others:
        raise CheckError(
            f"The uploaded report is about the build {sorted(others)[0][:19]}, and this release is {own[:12]}.",
            remedy="Upload the report of this build's tests.",
        )


def _outcome(context: RunContext, report: junit.Report, kept: list[Artifact], completed: Completed | None) -> Outcome:
    code = completed.returncode if completed else 0
    counts = report.counts
    names_build = bool(report.builds) and bool(context.run.build_digest)
    if completed is None and not names_build:
        context.note("The uploaded report does not name a build; who uploaded it vouches that it is about this one.")
    return Outcome(
        passed=report.all_green and code == 0,
        summary=_summary(report, code, uploaded=completed is None, names_build=names_build),
        figures={
            "tests": report.run,
            "passed": counts.passed,
            "failed": counts.failed,
            "errored": counts.errored,
            "skipped": counts.skipped,
            "seconds": round(counts.seconds, 3),
        },
        result={**report.as_json(), "exit": code, "uploaded": completed is None, "names_build": names_build},
        artifacts=kept,
    )


def _verdict(report: junit.Report) -> str:
    """What the reports alone say."""
    counts = report.counts
    bad = counts.failed + counts.errored
    skipped = f", {counts.skipped:,} skipped" if counts.skipped else ""
    if report.run == 0:
        return f"No test was run{skipped}: that is not a pass."
    words = f"{report.run:,} tests{skipped}, {bad:,} failed"
    if bad:
        return f"{words}: {report.failures[0].name}"[:500]
    return f"{words}, but the report is not whole: {report.gaps[0]}"[:500] if report.gaps else words


def _summary(report: junit.Report, code: int, *, uploaded: bool, names_build: bool) -> str:
    verdict = _verdict(report)
    if not report.all_green:
        return verdict
    if code:
        return f"{verdict}, but the test command ended with {code}, so something outside the tests went wrong."
    return verdict + (" (uploaded; the report does not name its build)" if uploaded and not names_build else "") + "."
