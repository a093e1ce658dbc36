"""What a kind is given while it runs. Implements ``checks.kinds.base.RunContext`` for one attempt."""

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.files.storage import default_storage

from checks.artifacts import store_artifact
from checks.enums import LineKind
from checks.errors import CheckError
from checks.kinds.base import Artifact, Completed
from checks.lease import Lease
from checks.masking import Vocabulary
from checks.models import Run
from checks.plan import EnvironmentSection, Plan
from checks.process import Child, Children
from checks.recorder import Recorder, Spool
from checks.steps import StepLedger, StepRecord
from releases.domain.environment import secret_value
from releases.errors import DomainError
from releases.models import Release

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Pipes:
    """A child with pipes; implements ``Pipe``."""

    def __init__(self, context: "Context", child: Child) -> None:
        self._context, self._child = context, child
        self.stdin, self.stdout = child.stdin, child.stdout

    @property
    def running(self) -> bool:
        return not self._child.poll(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, negative for a signal. After ``timeout`` seconds the child is ended."""
        self._context.children.wait(self._child, timeout=timeout, look=self._context.check)
        return self._child.returncode or 0

    def terminate(self) -> None:
        self._child.end(self._context.children.grace)


class Context:
    """One attempt of one run, as its kind sees it."""

    def __init__(
        self,
        *,
        run: Run,
        plan: Plan,
        params: Any,
        scratch: Path,
        lease: Lease,
        children: Children,
        recorder: Recorder,
        vocabulary: Vocabulary,
    ) -> None:
        self.run, self.plan, self.params, self.scratch = run, plan, params, scratch
        self.environment: EnvironmentSection = plan.environment(run.environment.name)
        self.build_file: Path | None = None
        self.lease, self.children, self.recorder, self.vocabulary = lease, children, recorder, vocabulary
        self.steps: StepLedger | None = None
        self._secrets: dict[str, str] = {}

    # --- steps, notes, stopping --------------------------------------------------------------------------------------

    def step(self, key: str) -> AbstractContextManager[StepRecord]:
        assert self.steps is not None, "The engine announces the steps before the kind runs."
        return self.steps.enter(key)

    def note(self, text: str) -> None:
        self.lease.look()
        self.recorder.add(LineKind.NOTE, text)

    def warn(self, text: str) -> None:
        self.lease.look()
        self.recorder.add(LineKind.ERROR, text)

    def check(self) -> None:
        self.lease.look()
        if self.steps is not None:
            self.steps.flush()

    # --- commands ----------------------------------------------------------------------------------------------------

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
        """See RunContext. The child's output goes to a file that the recorder follows."""

        def look() -> None:
            self.check()
            if meanwhile is not None:
                meanwhile()

        with self._spool(argv, echo) as spool:
            descriptor = spool.open_for_child()
            try:
                child = self._start(argv, variables, cwd, stdout=descriptor, stderr=descriptor)
            finally:
                os.close(descriptor)
            return self._finish(child, argv, timeout, check, look)

    def capture(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        variables: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        limit: int = 10_000_000,
    ) -> Completed:
        """See RunContext. An exit other than 0, and more than ``limit`` bytes, raise CheckError."""
        path = self.scratch / f".captured-{time.monotonic_ns()}"

        def look() -> None:
            self.check()
            if path.stat().st_size > limit:
                raise CheckError(
                    f"{argv[0]} printed more than {limit:,} bytes.", remedy="Make it print less; it was ended."
                )

        try:
            with self._spool(argv, echo=True) as spool, path.open("wb") as out:
                descriptor = spool.open_for_child()
                try:
                    child = self._start(argv, variables, cwd, stdout=out.fileno(), stderr=descriptor)
                finally:
                    os.close(descriptor)
                done = self._finish(child, argv, timeout, check=True, look=look)
                look()
            output = path.read_bytes().decode("utf-8", "replace")
            return Completed(done.argv, done.returncode, done.seconds, output, done.timed_out)
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def pipe(
        self,
        argv: Sequence[str],
        *,
        stdin: bool = False,
        stdout: bool = False,
        variables: Mapping[str, str] | None = None,
        shown: Sequence[str] | None = None,
    ) -> Iterator[Pipes]:
        """See RunContext. On leaving, open pipes are closed, and whatever still runs is ended."""
        with self._spool(shown or argv, echo=True) as spool:
            descriptor = spool.open_for_child()
            try:
                child = self._start(
                    argv,
                    variables,
                    None,
                    stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                    stdout=subprocess.PIPE if stdout else descriptor,
                    stderr=descriptor,
                )
            finally:
                os.close(descriptor)
            try:
                yield Pipes(self, child)
            finally:
                self._leave(child)
        self.check()

    def _leave(self, child: Child) -> None:
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        if not child.poll(0):
            child.end(self.children.grace)
        self.children.wait(child, timeout=None, look=lambda: None)

    @contextmanager
    def _spool(self, argv: Sequence[str], echo: bool) -> Iterator[Spool]:
        self.lease.look()
        if not argv:
            raise CheckError("A command is empty.", remedy="Correct the plan.")
        if echo:
            self.recorder.command(_by_name(argv))
        spool = self.recorder.open_spool()
        try:
            yield spool
        finally:
            self.recorder.close_spool(spool)

    def _start(self, argv: Sequence[str], variables: Mapping[str, str] | None, cwd: Path | None, **files: Any) -> Child:
        folder = cwd or self.plan_folder
        environment = {**self._base_variables(), **self.variables(), **(variables or {})}
        return self.children.start(argv, environment=environment, cwd=folder, **files)

    def _finish(
        self,
        child: Child,
        argv: Sequence[str],
        timeout: float,
        check: bool,
        look: Callable[[], None] | None = None,
    ) -> Completed:
        began = time.monotonic()
        timed_out = self.children.wait(child, timeout=timeout, look=look or self.check)
        self.lease.look()
        code = child.returncode if child.returncode is not None else -9
        done = Completed(tuple(argv), code, time.monotonic() - began, timed_out=timed_out)
        if timed_out:
            self.warn(f"Ended after {timeout:g} s, the time this command is given.")
        if check and timed_out:
            raise CheckError(
                f"{argv[0]} took longer than {timeout:g} s and was ended.",
                remedy="See in the log what it did last; give it more time in the plan if it needs it.",
            )
        if check and code != 0:
            how = f"signal {-code}" if code < 0 else f"exit status {code}"
            raise CheckError(f"{argv[0]} ended with {how}.", remedy="The lines above in the log say why.")
        return done

    # --- surroundings ------------------------------------------------------------------------------------------------

    @property
    def plan_folder(self) -> Path:
        """The application's folder on this worker; where it has none, the scratch folder."""
        folder = self.run.application.plan_folder
        return Path(folder) if folder else self.scratch

    def _base_variables(self) -> dict[str, str]:
        variables = {
            "PATH": f"{settings.POSTGRES_BIN}:{SYSTEM_PATH}",
            "HOME": os.environ.get("HOME", str(self.scratch)),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "GONOGO_RUN": str(self.run.pk),
            "GONOGO_ENVIRONMENT": self.run.environment.name,
            "GONOGO_WORK": str(self.scratch),
            "GONOGO_PLAN_DIR": str(self.plan_folder),
            "GONOGO_HOME": str(settings.GONOGO_HOME),
        }
        if self.run.release is not None:
            variables |= {"GONOGO_VERSION": self.run.release.version, "GONOGO_BUILD_DIGEST": self.run.build_digest}
        if self.build_file is not None:
            variables["GONOGO_BUILD_FILE"] = str(self.build_file)
        return variables

    def variables(self, environment: str | None = None) -> dict[str, str]:
        section = self.environment if environment is None else self._environment(environment)
        found = {name: self._fill(value) for name, value in section.variables.items()}
        found |= {name: self.secret(secret) for name, secret in section.secrets.items()}
        for value in found.values():
            self._mask_password(value)
        return found

    def database_url(self, environment: str | None = None) -> str:
        section = self.environment if environment is None else self._environment(environment)
        value = self.variables(environment).get(section.database, "")
        if urlsplit(value).scheme not in {"postgres", "postgresql"}:
            name = environment or self.run.environment.name
            raise CheckError(
                f"The environment {name} has no PostgreSQL address in {section.database}.",
                remedy=f"Name {section.database} in the plan's variables or secrets of {name}: "
                "postgresql://user:password@host:port/database",
            )
        return value

    def secret(self, name: str) -> str:
        if name not in self._secrets:
            try:
                value = self.lease.persist(lambda: secret_value(application=self.run.application, name=name))
            except DomainError as error:
                raise CheckError(error.message, remedy="Nothing was judged; run it again afterwards.") from error
            self.recorder.remember_secrets([value])
            self._secrets[name] = value
        return self._secrets[name]

    def mask(self, value: str, name: str) -> None:
        self.recorder.remember_secrets([value])

    def _environment(self, name: str) -> EnvironmentSection:
        try:
            return self.plan.environment(name)
        except KeyError:
            raise CheckError(f"The plan has no environment {name}.", remedy="Correct the plan.") from None

    def _fill(self, value: str) -> str:
        home, folder = str(settings.GONOGO_HOME), str(self.plan_folder)
        return value.replace("{GONOGO_HOME}", home).replace("{PLAN_DIR}", folder)

    def _mask_password(self, value: str) -> None:
        """The password inside of an address is a secret although the plan may hold the address in the open."""
        if "://" in value and "@" in value:
            with suppress(ValueError):
                password = urlsplit(value).password
                if password:
                    self.recorder.remember_secrets([password, unquote(password)])

    # --- files -------------------------------------------------------------------------------------------------------

    def store(self, name: str, source: Path | IO[bytes] | bytes) -> Artifact:
        self.lease.look()
        prefix = f"runs/{self.run.pk}/{self.lease.claim.attempt}"
        return store_artifact(prefix, name, source, vocabulary=self.vocabulary, look=self.lease.look)

    def fetch_build(self) -> None:
        """Bring the release's artifact into the scratch folder and compare it with the digest that was approved."""
        if self.run.release is not None:
            self.build_file = self._fetched(self.run.release, self.run.build_digest)

    def build_of(self, release: Release) -> Path:
        if release == self.run.release and self.build_file is not None:
            return self.build_file
        return self._fetched(release, release.build_digest)

    def _fetched(self, release: Release, expected: str) -> Path:
        target = self.scratch / "build" / str(release.pk) / (Path(release.build_name).name or "build")
        target.parent.mkdir(mode=0o700, parents=True)
        digest = hashlib.sha256()
        try:
            with default_storage.open(release.build_key, "rb") as source, target.open("wb") as out:
                while block := source.read(1024 * 1024):
                    self.lease.look()
                    digest.update(block)
                    out.write(block)
        except OSError as error:
            raise CheckError(
                f"The build {release.build_name} could not be fetched from storage: {error.strerror or error}.",
                remedy="Look whether the storage answers and whether this worker has space; then run this again.",
            ) from error
        if digest.hexdigest() != expected:
            raise CheckError(
                f"The build {release.build_name} in storage is not the one this release was made of: its SHA-256 is "
                f"{digest.hexdigest()[:12]}…, and {expected[:12]}… was expected.",
                remedy="Nothing was run. Find out who changed the file; make a new release of the right build.",
            )
        return target


def _by_name(argv: Sequence[str]) -> list[str]:
    """A command as the log shows it: PostgreSQL's programs by name, since where they stand says nothing of the run."""
    program = Path(argv[0])
    return [program.name if program.parent == Path(settings.POSTGRES_BIN) else argv[0], *argv[1:]]
