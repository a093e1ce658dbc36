"""What a kind is, and what it is given while it runs.

A kind is one module in this folder and one template, ``templates/checks/kinds/<name>.html``. It never touches
states, tokens, leases, Celery or HTTP: it runs commands through its context and returns an outcome.
"""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from checks.enums import StepCategory
from checks.errors import CheckError
from releases.enums import Tier

if TYPE_CHECKING:
    from checks.models import Run
    from checks.plan import EnvironmentSection, Plan
    from releases.models import Release


class KindParams(BaseModel):
    """Base of every kind's parameters: unknown names are refused, with the name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Step:
    """A step announced before it begins, so that people see what is to come."""

    key: str
    title: str
    category: StepCategory = StepCategory.CHECK


@dataclass(frozen=True)
class Artifact:
    """A file that a run keeps in storage. ``sha256`` is a hex digest of the stored bytes."""

    name: str
    key: str
    size: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "key": self.key, "size": self.size, "sha256": self.sha256}


@dataclass(frozen=True)
class Outcome:
    """What a kind found. ``passed=False`` is a check that said no; a check that broke raises CheckError."""

    passed: bool
    summary: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Sequence[Artifact] = ()


class Inconclusive(CheckError):
    """The check could not be judged, and this much was seen all the same. Ends as errored, with the result kept.

    ``outcome.passed`` is not looked at.
    """

    def __init__(self, message: str, *, remedy: str = "", outcome: Outcome) -> None:
        super().__init__(message, remedy=remedy)
        self.outcome = outcome


@dataclass(frozen=True)
class Completed:
    """A command that ended. ``returncode`` is negative for a signal; ``timed_out`` says that it was ended by us."""

    argv: tuple[str, ...]
    returncode: int
    seconds: float
    output: str = ""
    timed_out: bool = False


class StepHandle(Protocol):
    """The step under way."""

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None: ...
    def doing(self, text: str) -> None: ...
    def figure(self, name: str, value: Any) -> None: ...
    def at_once(self) -> AbstractContextManager[None]: ...  # what is told inside is written and rung together
    def skip(self, reason: str) -> None: ...
    def fail(self, reason: str) -> None: ...  # the check says no here; the run goes on


class Pipe(Protocol):
    """A child with pipes instead of a log: its stdout and stdin belong to the caller, its stderr goes to the log."""

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None

    @property
    def running(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...


class RunContext(Protocol):
    """Given to ``Kind.run``; made by the engine. Every method raises Cancelled or Fenced when the run must stop."""

    run: "Run"
    plan: "Plan"
    params: Any  # an instance of the kind's Params
    environment: "EnvironmentSection"
    scratch: Path  # an empty folder of this attempt, removed afterwards
    build_file: Path | None  # the release's artifact, its digest checked by the engine; None without a release

    def step(self, key: str) -> AbstractContextManager[StepHandle]:
        """Enter a step announced by ``Kind.steps``; an exception inside marks it failed, errored or cancelled."""
        ...

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
        """Run a command, its output in the live log. With ``check`` an exit other than 0 raises CheckError.

        ``meanwhile`` is called several times a second while it runs, to tell how far it is.

        The child's environment holds only PATH, HOME, LANG, GONOGO_*, what the plan's environment names, and
        ``variables``. Lists only: nothing is ever pasted into a shell string.
        """
        ...

    def capture(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        variables: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        limit: int = 10_000_000,
    ) -> Completed:
        """Like ``command`` with its stdout returned in ``output`` (at most ``limit`` bytes) and not logged."""
        ...

    def pipe(
        self,
        argv: Sequence[str],
        *,
        stdin: bool = False,
        stdout: bool = False,
        variables: Mapping[str, str] | None = None,
        shown: Sequence[str] | None = None,
    ) -> AbstractContextManager[Pipe]:
        """A child for streaming. Leaving the block ends its whole process group. ``shown``: how the log shows it."""
        ...

    def note(self, text: str) -> None:
        """A line in the log, from the engine rather than from a child."""
        ...

    def warn(self, text: str) -> None:
        """A line in the log marked as an error."""
        ...

    def check(self) -> None:
        """Raise Cancelled or Fenced if the run must stop; call it inside long loops (cheap)."""
        ...

    def secret(self, name: str) -> str:
        """The plain value of a secret of the application; masked in the log from now on. CheckError if missing."""
        ...

    def mask(self, value: str, name: str) -> None:
        """Mask a value that is secret although it is not in the plan (a generated password)."""
        ...

    def database_url(self, environment: str | None = None) -> str:
        """The PostgreSQL URL of an environment of the plan (this run's by default), password included, masked."""
        ...

    def variables(self, environment: str | None = None) -> dict[str, str]:
        """The environment variables that the plan declares for an environment, secrets resolved and masked."""
        ...

    def build_of(self, release: "Release") -> Path:
        """The artifact of another release than this run's own, its digest checked."""
        ...

    def store(self, name: str, source: Path | IO[bytes] | bytes) -> Artifact:
        """Keep a file of this run in storage, below runs/<run id>/."""
        ...


class Kind(ABC):
    """A kind of run. Subclasses set the class variables and write ``steps`` and ``run``."""

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    Params: ClassVar[type[KindParams]] = KindParams
    #: Tiers this kind may run in.
    tiers: ClassVar[frozenset[Tier]] = frozenset(Tier)
    #: One at a time for an environment, and a lost worker makes it unknown instead of running it again.
    exclusive: ClassVar[bool] = False
    #: A release is needed.
    needs_release: ClassVar[bool] = False
    #: The environment must run the release's build, before and after; otherwise the run ends as errored.
    judges_running_build: ClassVar[bool] = False
    #: Shown in the menu "Start a run" only for kinds that are plan checks (deploy and rollback have own buttons).
    is_check: ClassVar[bool] = True
    #: A kind whose run under way in the same environment is waited for, since this one judges what that one makes.
    follows: ClassVar[str] = ""
    #: How long its evidence stays fresh where the plan does not say, in hours.
    valid_hours: ClassVar[int] = 168

    #: A template that the run's page shows while the run is under way, fed by ``pictures``.
    live_template: ClassVar[str] = ""

    def judges_what_runs(self, params: Any) -> bool:
        """The same for a run with these parameters; what a kind says of all of them is ``judges_running_build``."""
        return self.judges_running_build

    def pictures(self, result: Mapping[str, Any], live: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Charts for the kind's templates, as ``pictures``. ``live``: the figures of each step so far, in order."""
        return {}

    @classmethod
    def template(cls) -> str:
        return f"checks/kinds/{cls.name}.html"

    @abstractmethod
    def steps(self, plan: "Plan", section: str, params: Any) -> list[Step]:
        """All steps of this run, in order, before it begins."""

    @abstractmethod
    def run(self, context: RunContext) -> Outcome:
        """Do it. Return an outcome, or raise CheckError when the check could not be made."""

    def rehearse(self, context: RunContext) -> Outcome:
        """Run inside of another run, for the test of the gate: judge as ``run`` does, and record nothing that lasts."""
        return self.run(context)

    def problems(self, plan: "Plan", params: Any, environment: str) -> list[tuple[tuple[str | int, ...], str]]:
        """What in the parameters of a check does not fit the rest of its plan: (place in them, sentence)."""
        return []

    def left_behind(self, params: Any) -> list[str]:
        """What people should know before they start it, such as data that it leaves behind; shown beside the button."""
        return []

    def alone_in(self, params: Any, environment: str) -> list[str]:
        """Environments in which this run and others that name one of them too would spoil each other's results.

        They go one after the other. For kinds that put load on an environment, attack it, or measure under such.
        """
        return []

    def started(self, run: "Run") -> None:  # noqa: B027 - most kinds have nothing to do here
        """Called inside the transaction that claims the run, for every attempt."""

    def ended(self, run: "Run") -> None:  # noqa: B027 - most kinds have nothing to do here
        """Called inside the transaction that ends the run, whoever ends it (engine, cancel, reaper, a decision).

        ``run.state`` and ``run.result`` are already the new ones. Domain verbs called here commit with the run.
        """


_registry: dict[str, Kind] = {}


def register(cls: type[Kind]) -> type[Kind]:
    """Class decorator: make a kind known by its name."""
    if cls.name in _registry:
        raise RuntimeError(f"Two kinds are called {cls.name}: {type(_registry[cls.name])} and {cls}.")
    _registry[cls.name] = cls()
    return cls


def discover() -> None:
    """Import every module of ``checks.kinds``; called when Django is ready. An import error stops the boot."""
    package = importlib.import_module("checks.kinds")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"checks.kinds.{module.name}")


def get_kind(name: str) -> Kind:
    """Raises KeyError with the known names."""
    try:
        return _registry[name]
    except KeyError:
        raise KeyError(f"There is no kind called {name!r}; there are: {', '.join(sorted(_registry))}.") from None


def uploads_of(kind: Kind) -> list[str]:
    """The parameters that take an uploaded file, kept as its name in storage."""
    return [
        name
        for name, field in kind.Params.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("upload")
    ]


def all_kinds() -> list[Kind]:
    return [_registry[name] for name in sorted(_registry)]
