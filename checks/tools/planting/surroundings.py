"""The surroundings of a check that is run inside of another run: the same, but for what was planted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from checks.kinds.base import Artifact, Completed, Pipe, RunContext, StepHandle
from checks.plan import EnvironmentSection, Plan
from releases.models import Environment, Release


class _Run:
    """The outer run, as the check sees it: in the environment that the check is about."""

    def __init__(self, run: Any, environment: Environment, section: str) -> None:
        self._run, self.environment, self.section = run, environment, section

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)


class _Step:
    """A step of the inner check, told in the outer run's log only."""

    def __init__(self, note: Callable[[str], None], during: Callable[[str], None] | None) -> None:
        self._note, self._during = note, during

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None: ...
    def doing(self, text: str) -> None:
        if self._during is not None:
            self._during(text)

    def figure(self, name: str, value: Any) -> None: ...
    def at_once(self) -> AbstractContextManager[None]:
        return nullcontext()

    def skip(self, reason: str) -> None:
        self._note(f"skipped: {reason}")

    def fail(self, reason: str) -> None:
        self._note(f"says no: {reason}")


class Surroundings:
    """Implements ``RunContext``. ``urls``: environment -> another address; ``databases``: old URL -> new URL.

    ``extra``: variables that every environment has besides. ``build``: a file in place of the release's build.
    ``during``: called with what a step says it is doing.
    """

    def __init__(
        self,
        outer: RunContext,
        *,
        label: str,
        section: str,
        params: Any,
        environment: Environment,
        urls: Mapping[str, str],
        databases: Mapping[str, str],
        extra: Mapping[str, str],
        build: Path | None = None,
        during: Callable[[str], None] | None = None,
    ) -> None:
        self._during = during
        self._outer, self._label, self._databases, self._extra = outer, label, databases, extra
        self.run: Any = _Run(outer.run, environment, section)
        places = {
            name: place.model_copy(update={"url": urls[name]}) if name in urls else place
            for name, place in outer.plan.environments.items()
        }
        # How much traffic is expected is no matter of a fault: only that the check says no to it.
        load = outer.plan.load.model_copy(update={"expected": None})
        self.plan: Plan = outer.plan.model_copy(update={"environments": places, "load": load})
        self.params = params
        self.environment: EnvironmentSection = self.plan.environment(environment.name)
        self.scratch: Path = outer.scratch / label
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.build_file = build or outer.build_file

    @contextmanager
    def _step(self, key: str) -> Iterator[StepHandle]:
        self.check()
        yield _Step(lambda text: self.note(f"{key}: {text}"), self._during)

    def step(self, key: str) -> AbstractContextManager[StepHandle]:
        return self._step(key)

    def note(self, text: str) -> None:
        self._outer.note(f"[{self._label}] {text}")

    def warn(self, text: str) -> None:
        # What a check says about a planted fault is what was hoped for, and no error of this run.
        self.note(text)

    def check(self) -> None:
        self._outer.check()

    def command(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        variables: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        check: bool = True,
        echo: bool = True,
        meanwhile: Callable[[], None] | None = None,
    ) -> Completed:
        told = {**self._told(), **(variables or {})}
        return self._outer.command(
            argv, timeout=timeout, variables=told, cwd=cwd, check=check, echo=echo, meanwhile=meanwhile
        )

    def capture(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        variables: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        limit: int = 10_000_000,
    ) -> Completed:
        told = {**self._told(), **(variables or {})}
        return self._outer.capture(argv, timeout=timeout, variables=told, cwd=cwd, limit=limit)

    def pipe(
        self,
        argv: Sequence[str],
        *,
        stdin: bool = False,
        stdout: bool = False,
        variables: Mapping[str, str] | None = None,
        shown: Sequence[str] | None = None,
    ) -> AbstractContextManager[Pipe]:
        told = {**self._told(), **(variables or {})}
        return self._outer.pipe(argv, stdin=stdin, stdout=stdout, variables=told, shown=shown)

    def _told(self) -> dict[str, str]:
        """What a child is told besides the usual: it works for its own look, in that look's folder."""
        own = {"GONOGO_WORK": str(self.scratch), "GONOGO_ENVIRONMENT": self.run.environment.name}
        if self.build_file is not None:
            own["GONOGO_BUILD_FILE"] = str(self.build_file)
        return {**self.variables(), **own}

    def secret(self, name: str) -> str:
        return self._outer.secret(name)

    def mask(self, value: str, name: str) -> None:
        self._outer.mask(value, name)

    def variables(self, environment: str | None = None) -> dict[str, str]:
        found = self._outer.variables(environment or self.run.environment.name)
        return {name: self._databases.get(value, value) for name, value in found.items()} | dict(self._extra)

    def database_url(self, environment: str | None = None) -> str:
        url = self._outer.database_url(environment or self.run.environment.name)
        return self._databases.get(url, url)

    def build_of(self, release: Release) -> Path:
        return self._outer.build_of(release)

    def store(self, name: str, source: Path | IO[bytes] | bytes) -> Artifact:
        return self._outer.store(f"{self._label}/{name}", source)
