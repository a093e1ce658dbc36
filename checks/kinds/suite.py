"""Test suite: the application's own tests by their own command, or an uploaded report, read from JUnit XML."""

import contextlib
import glob
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Any, Final, Literal, Self

from django.core.files.storage import default_storage
from pydantic import AfterValidator, Field, model_validator

from checks.enums import StepCategory
from checks.errors import CheckError, NothingSaid
from checks.kinds.base import Artifact, Completed, Kind, KindParams, Outcome, RunContext, Step, StepHandle, register
from checks.plan import Command, Plan
from checks.tools import case_history, cobertura, junit
from checks.uploading import digest_of, judged_before, uploader_of

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
    """Either ``command`` with ``reports``, or ``uploaded``; both only where ``uploads`` says so."""

    command: Command | None = Field(default=None, description="Runs the tests and writes the reports.")
    reports: list[Annotated[str, AfterValidator(_below)]] = Field(
        default=["reports/*.xml"],
        min_length=1,
        max_length=20,
        description="Patterns of JUnit XML files, below the run's work folder (GONOGO_WORK) or the plan's folder.",
    )
    coverage: list[Annotated[str, AfterValidator(_below)]] = Field(
        default=[], max_length=20, description="Patterns of Cobertura XML files that the command writes."
    )
    least_coverage: float | None = Field(
        default=None, ge=0, le=100, description="Per cent of the lines that have to be covered; none for any."
    )
    refuse: list[Literal["gone", "not_run", "slower", "flaky"]] = Field(
        default=[], description="What says no besides a failure: tests gone, no longer run, slower, or flaky."
    )
    alone: bool = Field(
        default=False,
        description="The tests ask the environment itself: no load and no attack there meanwhile.",
    )
    uploads: bool = Field(
        default=False,
        description="A report may be uploaded instead of running the command; without a command it always may.",
    )
    uploaded: str = Field(
        default="",
        max_length=500,
        title="Uploaded report",
        json_schema_extra={"upload": True},
        description="The name in storage of a report that was uploaded; then no command is run.",
    )
    uploaded_coverage: str = Field(
        default="",
        max_length=500,
        title="Uploaded coverage",
        json_schema_extra={"upload": True},
        description="The name in storage of a Cobertura file that was uploaded with the report.",
    )

    @model_validator(mode="after")
    def tests_are_run_where_there_is_a_command(self) -> Self:
        if self.command is not None and not self.uploads and (self.uploaded or self.uploaded_coverage):
            raise ValueError(
                "the plan names a command for these tests, so no uploaded report answers for them; where one shall,"
                " the plan says uploads: true"
            )
        return self


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

    def judges_what_runs(self, params: Any) -> bool:
        """Tests that ask the environment itself say something of the build that runs there, and of no other."""
        return bool(params.alone) and not params.uploaded

    def alone_in(self, params: Any, environment: str) -> list[str]:
        return [environment] if params.alone and not params.uploaded else []

    def run(self, context: RunContext) -> Outcome:
        params: SuiteParams = context.params
        if params.uploaded:
            return self._judge_upload(context, params)
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
            reports = _written(context, "report", params.reports, begin, completed)
            measured = _written(context, "coverage", params.coverage, begin, completed)
            step.doing(f"{len(reports)} reports")
            return _judge(context, step, reports, measured, completed)

    def _judge_upload(self, context: RunContext, params: SuiteParams) -> Outcome:
        with context.step("tests"):
            report = fetched(context, params.uploaded)
            digest = _refuse_judged(context, report)
            measured = [fetched(context, params.uploaded_coverage)] if params.uploaded_coverage else []
        with context.step("reports") as step:
            return _judge(context, step, [report], measured, None, digest)


def fetched(context: RunContext, key: str) -> Path:
    """A copy of an uploaded file. One that was sent for another build is refused."""
    folder = f"{UPLOADS}/{context.run.application.slug}/"
    if not key.startswith(folder) or ".." in PurePosixPath(key).parts or not default_storage.exists(key):
        raise CheckError(
            f"There is no uploaded report called {key!r} for this application.",
            remedy="Upload it again when you start the run.",
        )
    sent_for = _sent_for(key)
    if sent_for and sent_for != context.run.build_digest:
        raise CheckError(
            f"The uploaded report was sent for the build {sent_for[:12]}, and this run is about "
            f"{context.run.build_digest[:12] or 'no build'}.",
            remedy="Send the report of this build's tests.",
        )
    copy = context.scratch / "uploaded" / PurePosixPath(key).name
    copy.parent.mkdir(exist_ok=True)
    with default_storage.open(key) as source, copy.open("wb") as target:
        while piece := source.read(1024 * 1024):
            context.check()
            target.write(piece)
    return copy


def _refuse_judged(context: RunContext, report: Path) -> str:
    """The report's SHA-256. A report says something once: sent again it would make an old answer look fresh."""
    with report.open("rb") as stream:
        digest = digest_of(iter(partial(stream.read, 1024 * 1024), b""))
    earlier = judged_before(context.run.application, context.run.section, digest, context.run)
    if earlier is not None:
        raise NothingSaid(
            f"Run #{earlier.number} judged this very report already, byte for byte, so it says nothing new.",
            remedy="Run the tests again and send what they write then.",
        )
    return digest


def _sent_for(key: str) -> str:
    """The digest of the build that a report was sent for; '' where nobody said it."""
    folder = PurePosixPath(key).parent.name
    return folder.removeprefix("sha256-") if folder.startswith("sha256-") else ""


def _judge(
    context: RunContext,
    step: StepHandle,
    reports: list[Path],
    measured: list[Path],
    completed: Completed | None,
    digest: str = "",
) -> Outcome:
    """Read, compare with earlier runs, keep, and decide. ``digest``: of a report that was uploaded."""
    params: SuiteParams = context.params
    cases = case_history.Cases()
    with contextlib.ExitStack() as files:
        report = junit.read_reports(_opened(context, reports, files), cases)
    coverage = None
    if measured:
        with contextlib.ExitStack() as files:
            coverage = cobertura.read_coverage(_opened(context, measured, files))
    if completed is None:
        _refuse_other_build(context, report)
    elif params.least_coverage is not None and coverage is None:
        raise CheckError("The plan asks for coverage, and no file of it is named.", remedy="Name it under coverage.")
    kept = [context.store(f"reports/{number}-{path.name}", path) for number, path in _first(reports)]
    kept += [context.store(f"coverage/{number}-{path.name}", path) for number, path in _first(measured)]
    kept.append(context.store(case_history.FILE, cases.write(context.scratch / case_history.FILE)))
    compared = case_history.compare(context.run, cases)
    refusals = _refusals(params, compared, coverage, report.flaky)
    for sentence in refusals:
        context.warn(sentence)
    if not report.all_green or refusals:
        step.fail(_verdict(report) if not report.all_green else refusals[0])
    return _outcome(context, report, kept, completed, _More(compared, coverage, refusals, digest))


@dataclass(frozen=True)
class _More:
    """What is known besides the report."""

    compared: case_history.Comparison
    coverage: cobertura.Coverage | None
    refusals: list[str]
    digest: str = ""


def _refusals(
    params: SuiteParams, compared: case_history.Comparison, coverage: cobertura.Coverage | None, tried_again: int
) -> list[str]:
    """Why the plan says no although every test passed. ``tried_again``: what the report itself calls flaky."""
    words = {"gone": "gone", "not_run": "no longer run", "slower": "slower", "flaky": "flaky"}
    told = []
    for name in params.refuse:
        found = getattr(compared, name)
        if found:
            key = found[0] if name in ("gone", "not_run") else found[0][0]
            told.append(f"{len(found):,} tests are {words[name]}, and the plan refuses that: {key.test}")
    if "flaky" in params.refuse and tried_again:
        told.append(f"{tried_again:,} tests were tried more than once, and the plan refuses flaky ones.")
    least = params.least_coverage
    if least is not None and coverage is None:
        told.append(f"No coverage was sent, and the plan asks for {least:g} %.")
    elif least is not None and coverage is not None and coverage.share * 100 < least:
        told.append(f"{coverage.share:.1%} of the lines are covered, and the plan asks for {least:g} %.")
    return told


def _opened(context: RunContext, paths: list[Path], files: contextlib.ExitStack) -> Iterator[tuple[str, IO[bytes]]]:
    for path in paths:
        context.check()
        yield path.name, files.enter_context(path.open("rb"))


def _first(paths: list[Path]) -> Iterator[tuple[int, Path]]:
    return enumerate(paths[:MAX_KEPT_REPORTS], start=1)


def _written(context: RunContext, what: str, patterns: list[str], begin: float, completed: Completed) -> list[Path]:
    """Files that this command wrote. CheckError where a pattern has none, or only ones from before it began."""
    folders = [context.scratch]
    if context.run.application.plan_folder:
        folders.append(Path(context.run.application.plan_folder))
    written: set[Path] = set()
    missing: list[str] = []
    for pattern in patterns:
        found = sorted({path for folder in folders for path in _matches(folder, pattern)})
        stale = [path for path in found if path.stat().st_mtime < begin - _CLOCK_SLACK_SECONDS]
        for path in stale:
            at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            context.warn(f"{path.name} was written at {at:%Y-%m-%d %H:%M:%S} UTC, before this run: not counted.")
        fresh = set(found) - set(stale)
        if not fresh:
            before = f"Only {what}s from before this run match {pattern}: {stale[0].name}." if stale else ""
            missing.append(before or f"No {what} matches {pattern}.")
        written |= fresh
    if missing:
        raise CheckError(
            f"{' '.join(missing)} The test command ended with {completed.returncode}.",
            remedy=f"Let the command write to {', '.join(patterns)} in $GONOGO_WORK, each, and look in the log.",
        )
    if len(written) > MAX_REPORTS:
        raise CheckError(f"{len(written)} files match {', '.join(patterns)}; at most {MAX_REPORTS} are read.")
    return sorted(written)


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


def _outcome(
    context: RunContext, report: junit.Report, kept: list[Artifact], completed: Completed | None, more: _More
) -> Outcome:
    code = completed.returncode if completed else 0
    counts, uploaded = report.counts, completed is None
    sent_for = _sent_for(context.params.uploaded) if uploaded else ""
    names_build = bool(context.run.build_digest) and (bool(report.builds) or bool(sent_for))
    if uploaded and not names_build:
        context.note("The uploaded report does not name a build; who uploaded it vouches that it is about this one.")
    return Outcome(
        passed=report.all_green and code == 0 and not more.refusals,
        summary=_summary(report, code, more, _vouched(context, names_build) if uploaded else ""),
        figures={
            "tests": report.run,
            "passed": counts.passed,
            "failed": counts.failed,
            "errored": counts.errored,
            "skipped": counts.skipped,
            "seconds": round(counts.seconds, 3),
            "flaky": len(more.compared.flaky),
            **({"coverage": round(more.coverage.share, 4)} if more.coverage else {}),
        },
        result={
            **report.as_json(),
            "exit": code,
            "uploaded": uploaded,
            "names_build": names_build,
            "sent_for": sent_for,
            "digest": more.digest,
            "compared": more.compared.as_json(),
            "coverage": more.coverage.as_json() if more.coverage else None,
            "refusals": more.refusals,
        },
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


def _vouched(context: RunContext, names_build: bool) -> str:
    who = uploader_of(context.run, ["uploaded"])
    unnamed = "" if names_build else "; the report does not name its build"
    return f" (uploaded by {who or 'nobody who is named'}{unnamed})"


def _summary(report: junit.Report, code: int, more: _More, vouched: str) -> str:
    """``vouched``: who uploaded it, where nobody ran the tests."""
    said = _said(report, code, more)
    return f"{said.removesuffix('.')[: 499 - len(vouched)]}{vouched}." if vouched else said[:500]


def _said(report: junit.Report, code: int, more: _More) -> str:
    verdict = _verdict(report)
    if not report.all_green:
        new = len(more.compared.new_failures)
        known = f" ({new:,} new since the last release)" if more.compared.base and new else ""
        return f"{verdict}{known}"
    if code:
        return f"{verdict}, but the test command ended with {code}, so something outside the tests went wrong."
    if more.refusals:
        return f"{verdict}, but: {more.refusals[0]}"
    covered = f", {more.coverage.share:.1%} of the lines covered" if more.coverage else ""
    return f"{verdict}{covered}."
