"""Disaster drill: from the backup and the build alone to an application that answers, on a cluster made for it."""

import secrets
import socket
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from psycopg import sql
from pydantic import Field

from checks.enums import StepCategory
from checks.errors import CheckError
from checks.kinds.base import Outcome, Pipe, RunContext, Step, register
from checks.kinds.drill import BackupToDrill, Drill, DrillWork
from checks.plan import Command, Duration, Plan, Request
from checks.tools import belongings, cluster, facts, http, restoring, scratch
from checks.tools.background import patiently
from checks.tools.crypto import KeyRing
from checks.tools.postgres import Address, connected
from releases.templatetags.interface_format import duration


class DisasterParams(BackupToDrill):
    prepare: list[Command] = Field(
        default=[], max_length=20, description="Run before the application is started, such as to install its build."
    )
    start: Command = Field(description="Starts the application in front; it listens on PORT and is ended afterwards.")
    requests: list[Request] = Field(
        default=[], max_length=100, description="Left empty, those of the plan's deploy section are asked."
    )
    ready_within: Duration = Field(
        default=timedelta(minutes=2), description="How long the application may take until its port is open."
    )


@register
class Disaster(Drill):
    """Passed means: what a drill proves, and the application answered on it as the plan declares, in time."""

    name: ClassVar[str] = "disaster"
    title: ClassVar[str] = "Disaster drill"
    description: ClassVar[str] = (
        "Makes a new and empty database cluster, restores the newest backup with its roles, configuration and media,"
        " starts the application of the release's build on it, asks it the smoke test's requests, and measures RTO."
    )
    Params: ClassVar[type[BackupToDrill]] = DisasterParams
    valid_hours: ClassVar[int] = 24 * 30

    def problems(self, plan: Plan, params: Any, environment: str) -> list[tuple[tuple[str | int, ...], str]]:
        """Its cluster is made for it and goes with it, so nobody's rows come to another environment's server."""
        return []

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        return [
            Step("find", "Find the backup"),
            Step("authenticate", "Authenticate every byte of it"),
            Step("create", "Make a new cluster with its roles", StepCategory.DATABASE),
            Step("restore", "Restore", StepCategory.DATABASE),
            Step("compare", "Compare with what was dumped", StepCategory.DATABASE),
            Step("write", "Write to it", StepCategory.DATABASE),
            Step("amcheck", "Check its pages and indexes", StepCategory.DATABASE),
            Step("belongings", "Give it its settings, limits and rights", StepCategory.DATABASE),
            Step("files", "Put configuration and media back"),
            Step("start", "Start the application on it", StepCategory.BACK_END),
            Step("smoke", "Ask it", StepCategory.FRONT_END),
            Step("judge", "Judge against RTO and RPO"),
        ]

    def run(self, context: RunContext) -> Outcome:
        return _Disaster(context).run()


class _Disaster(DrillWork):
    name: ClassVar[str] = "disaster"
    server: Address

    def _create(self, stack: ExitStack) -> Address:
        context = self.context
        with context.step("create") as step:
            with self.phases.phase("cluster"):
                server = stack.enter_context(cluster.empty_cluster(context))
            with self.phases.phase("create"), connected(server, what="the new cluster") as connection:
                self.login = Address.parse(context.database_url()).role or "postgres"
                # An application that works as the cluster's own superuser gets that one's password: with another one
                # nobody here could connect any more.
                is_superuser = self.login == server.role
                self.password = server.parts["password"] if is_superuser else secrets.token_urlsafe(24)
                context.mask(self.password, "login")
                made = cluster.make_roles(connection, self.document, self.login, self.password)
                facts.require(connection, self.document)
                database = self.document["database"]
                name = sql.Identifier(database["name"])
                patiently(context, connection, lambda: scratch.create_empty(connection, database["name"], database))
                owner = sql.Identifier(database.get("owner", self.login))
                connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, owner))
            step.figure("roles", len(made))
            self.server = server
            self.result |= {"server": "a new cluster of this worker", "roles_made": made}
        return server.named(database["name"])

    def _use(self, address: Address) -> None:
        """Start the application on it and ask it. What goes wrong here is not the backup's fault."""
        context = self.context
        self._give_belongings(address)
        folders = {name: context.scratch / name for name in ("configuration", "media")}
        with context.step("files") as step, self.phases.phase("files"):
            files = restoring.configuration_of(self.document, folders["configuration"])
            media = restoring.media_of(self.document, folders["media"])
            step.figure("files", len(files) + media.get("files", 0))
        variables = self._variables(address, folders)
        params: DisasterParams = context.params
        with context.step("start") as step:
            with self.phases.phase("prepare"):
                for command in params.prepare:
                    context.command(
                        command.arguments,
                        timeout=command.timeout.total_seconds(),
                        variables={**variables, **command.variables},
                    )
            stack = ExitStack()
            with self.phases.phase("start"):
                began = {**variables, **params.start.variables}
                pipe = stack.enter_context(context.pipe(params.start.arguments, variables=began))
                try:
                    self._wait(pipe, int(variables["PORT"]))
                except BaseException:
                    stack.close()
                    raise
            step.figure("port", int(variables["PORT"]))
        with stack:
            self._ask(f"http://127.0.0.1:{variables['PORT']}")
            pipe.terminate()

    def _give_belongings(self, address: Address) -> None:
        """What is in no dump, from the manifest. What this cluster does not take is told; what it took and is another
        thing afterwards is a difference.
        """
        with self.context.step("belongings") as step, self.phases.phase("belongings"):
            wanted = belongings.of(self.document, KeyRing.from_settings())
            if wanted is None:
                refused = ["anything: this backup is of an earlier version, which noted none of it"]
                differing: list[str] = []
            else:
                with connected(self.server, what="the new cluster") as connection:
                    refused, differing = belongings.give(connection, address.database, wanted)
            for sentence in refused:
                self.context.warn(f"Settings, limits and rights: could not give {sentence}.")
            wrong = f"The database or its roles differ in {'; '.join(differing[:10])}." if differing else ""
            self._looked("Settings, limits and rights are those of then", wrong, outcome="not given" * bool(refused))
            self.result["not_given"] = refused
            if wrong:
                self.told.append(wrong)
                step.fail(wrong)

    def _variables(self, address: Address, folders: dict[str, Path]) -> dict[str, str]:
        """What the application is given beside its environment's own variables, in their stead."""
        context = self.context
        url = Address({**address.parts, "user": self.login, "password": self.password}).url()
        found = {
            context.environment.database: url,
            "PORT": str(_free_port()),
            "GONOGO_CONFIGURATION": str(folders["configuration"]),
            "GONOGO_MEDIA": str(folders["media"]),
        }
        # A run for a release is evidence about its build, and ``prepare`` brings the restored data up to it.
        release = context.run.release or context.run.environment.current_release
        if release is None:
            context.note("No release of this program runs there; the application is started without a build.")
            return found
        context.note(f"The application is started from the build of {release.version}.")
        self.result["version"] = release.version
        return found | {
            "GONOGO_BUILD_FILE": str(context.build_of(release)),
            "GONOGO_BUILD_DIGEST": release.build_digest,
            "GONOGO_VERSION": release.version,
        }

    def _wait(self, pipe: Pipe, port: int) -> None:
        params: DisasterParams = self.context.params
        given = params.ready_within.total_seconds()
        until = time.monotonic() + given
        while not _listens(port):
            self.context.check()
            if not pipe.running:
                raise CheckError(
                    f"The application ended with exit status {pipe.wait()} before it listened on port {port}.",
                    remedy="The log holds what it said. The backup itself came back whole.",
                )
            if time.monotonic() > until:
                raise CheckError(
                    f"The application did not listen on port {port} within {duration(given)}.",
                    remedy="It has to listen on PORT of 127.0.0.1. The backup itself came back whole.",
                )
            time.sleep(0.1)

    def _ask(self, base: str) -> None:
        context = self.context
        answers: list[http.Answer] = []
        with context.step("smoke") as step, self.phases.phase("smoke"):
            requests = context.params.requests or context.plan.deploy.smoke
            bad = http.smoke_test(context, step, base, requests, answers)
            self.result["answers"] = [answer.as_json() for answer in answers]
            for answer in answers:
                self._looked(f"The application answers {answer.path}", "; ".join(answer.problems))
            self.told += [f"The application on the restored data: {sentence}" for sentence in bad]
            if bad:
                step.fail(bad[0])

    def _summary(self) -> str:
        asked = len(self.result["answers"])
        return (
            f"From nothing to an application that answers in {duration(self.phases.total)}: {self.rows:,} rows are"
            f" equal to what was dumped, and {asked} of {asked} requests were answered as declared."
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
