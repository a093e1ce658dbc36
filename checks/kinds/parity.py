"""Parity: does one environment mirror another? Facts of both, compared one by one; each drift is named."""

import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from checks.enums import StepCategory
from checks.errors import CheckError
from checks.kinds.base import Inconclusive, Kind, KindParams, Outcome, RunContext, Step, register
from checks.plan import Command, Duration, Key, Path, Plan, VariableName
from checks.tools import cloning
from checks.tools.background import patiently
from checks.tools.origins import same_address
from checks.tools.parity import comparing, of_database, of_schema, of_system, of_web, report
from checks.tools.parity.comparing import Policy, Volume
from checks.tools.parity.facts import DATABASE_AREAS, REPORTED_AREAS, Area, Side, names_an_area
from checks.tools.parity.states import Row, State
from checks.tools.postgres import Address, connected
from releases.enums import Tier


def _of_an_area(pattern: str) -> str:
    if not names_an_area(pattern):
        raise ValueError(f"a fact is area.name, and the areas are {', '.join(Area)}")
    return pattern


Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(_of_an_area)]


class Difference(KindParams):
    """A difference that shall be there. ``here``, ``there``: only with these values, where they are given."""

    fact: Pattern
    reason: Reason
    here: str | None = None
    there: str | None = None


class Integration(KindParams):
    """Exactly one of ``address`` (the same everywhere) and ``variable`` (the plan's variable that holds it)."""

    address: str = Field(default="", max_length=500)
    variable: VariableName | None = None

    @model_validator(mode="after")
    def one_of_both(self) -> Self:
        if bool(self.address) == bool(self.variable):
            raise ValueError("give either an address or a variable, not both and not neither")
        return self


class RowVolume(KindParams):
    least: float = Field(default=0.1, ge=0)
    most: float = Field(default=10, gt=0)
    from_rows: int = Field(default=1000, ge=0)


class ParityParams(KindParams):
    """The check's environment is judged by how it mirrors ``against``."""

    against: str = Field(
        default="", max_length=60, description="Environment that is mirrored; empty for the plan's only production."
    )
    migrate: Command | None = Field(
        default=None, description="Migrates a clone of the mirrored database, so that pending migrations do not count."
    )
    clone: cloning.Method = Field(default="auto", description="How that clone is made; as in a migration rehearsal.")
    visitors_wait: Duration = Field(
        default=timedelta(milliseconds=500), description="How long cloning may keep new sessions waiting; 0s for never."
    )
    lock_timeout: Duration = Field(
        default=timedelta(seconds=30), description="How long cloning waits for a table that somebody holds locked."
    )
    facts: Command | None = Field(
        default=None, description="Prints the facts of the environment it is run for, as JSON (see the manual)."
    )
    packages: Command | None = Field(
        default=None, description="Prints the installed packages, where the facts command does not: pip freeze."
    )
    lock: Command | None = Field(
        default=None, description="Prints what this release's build installs: a lock file, or pip freeze."
    )
    pages: list[Path] = Field(default=["/"], max_length=20, description="Whose headers and cookies are compared.")
    settings: list[str] = Field(default=[], max_length=100, description="Further settings of PostgreSQL.")
    integrations: dict[Key, Integration] = Field(default={}, description="What has to be reachable from the worker.")
    expected: list[Difference] = Field(default=[], description="Differences that shall be there, each with a reason.")
    breaking: list[Pattern] = Field(default=[], description="Facts whose difference blocks, besides the usual ones.")
    only_drift: dict[Pattern, Reason] = Field(default={}, description="Facts that would block and here only warn.")
    leave_out: dict[Pattern, Reason] = Field(default={}, description="Facts that nobody looks at, with the reason.")
    volume: RowVolume = Field(default=RowVolume(), description="How many rows of the other side there have to be.")
    strict: bool = Field(default=False, description="Say no for a drift as well.")

    def policy(self, brought: Mapping[str, str] | None, own_values: frozenset[str]) -> Policy:
        return Policy(
            expected=[comparing.Expected(**entry.model_dump()) for entry in self.expected],
            breaking=self.breaking,
            only_drift=self.only_drift,
            leave_out=self.leave_out,
            volume=Volume(**self.volume.model_dump()),
            brought=brought,
            own_values=own_values,
        )


def mirrored(plan: Plan, against: str) -> str:
    """The environment that is mirrored; "" where the plan does not say which."""
    production = [name for name, section in plan.environments.items() if section.tier is Tier.PRODUCTION]
    return against or (production[0] if len(production) == 1 else "")


@register
class Parity(Kind):
    """Passed means: everything asked was seen on both sides, and nothing that breaks differs."""

    name: ClassVar[str] = "parity"
    title: ClassVar[str] = "Parity"
    description: ClassVar[str] = (
        "Compares an environment with the one it shall mirror: PostgreSQL, settings, schema, packages, interpreter,"
        " process, names of variables, headers, TLS and integrations."
    )
    Params: ClassVar[type[ParityParams]] = ParityParams
    needs_release: ClassVar[bool] = True
    judges_running_build: ClassVar[bool] = True
    valid_hours: ClassVar[int] = 72

    def problems(self, plan: Plan, params: Any, environment: str) -> list[tuple[tuple[str | int, ...], str]]:
        name = mirrored(plan, params.against)
        if not name:
            return [(("against",), "say which environment is mirrored; the plan has not exactly one production")]
        if name not in plan.environments:
            return [(("against",), f"there is no environment {name!r}: {', '.join(plan.environments)}")]
        if name == environment:
            return [(("against",), "an environment always mirrors itself; name another one")]
        return []

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        return [
            Step("database", "Ask both databases", StepCategory.DATABASE),
            Step("migrate", "Bring a clone to the release's schema", StepCategory.DATABASE),
            Step("system", "Ask for packages, interpreter and process", StepCategory.BACK_END),
            Step("web", "Look from outside", StepCategory.FRONT_END),
            Step("compare", "Compare fact by fact"),
        ]

    def run(self, context: RunContext) -> Outcome:
        return _Comparison(context).run()


class _Comparison:
    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.params: ParityParams = context.params
        self.here = Side(context.run.environment.name)
        self.there = Side(mirrored(context.plan, self.params.against))
        self.sides = (self.here, self.there)
        self.key = secrets.token_hex(32)
        self.brought: dict[str, str] | None = None
        context.mask(self.key, "parity key")

    def run(self) -> Outcome:
        with self.context.step("database"):
            self._ask_databases()
        self._migrate()
        with self.context.step("system") as step:
            for side in self.sides:
                step.doing(side.environment)
                self._ask_system(side)
            self._ask_lock()
        with self.context.step("web") as step:
            if self._wanted(Area.HTTP, Area.TLS):
                self._try(self.here, (Area.HTTP, Area.TLS), self._refuse_one_url)
            for side in self.sides:
                step.doing(side.environment)
                self._look_from_outside(side)
        return self._judge()

    def _wanted(self, *areas: Area) -> bool:
        left_out = Policy(leave_out=self.params.leave_out)
        return any(not left_out.leaves_out(area) for area in areas)

    def _try(self, side: Side, areas: tuple[Area, ...], work: Callable[[], None]) -> None:
        """Do it, or note for each area why it is unknown."""
        try:
            work()
        except CheckError as error:
            self.context.warn(f"{side.environment}: {error}")
            for area in areas:
                side.miss(area, error.message)

    # --- databases ----------------------------------------------------------------------------------------------------

    def _address(self, side: Side) -> Address:
        url = self.context.database_url(side.environment)
        return Address.parse(url, what=f"The database address of {side.environment}")

    def _ask_databases(self) -> None:
        if not self._wanted(*DATABASE_AREAS):
            return
        self._try(self.here, DATABASE_AREAS, self._refuse_one_database)
        for side in self.sides:
            if (Area.SERVER, "") not in self.here.unknown:
                self._try(side, DATABASE_AREAS, lambda side=side: self._ask_database(side))  # type: ignore[misc]

    def _refuse_one_database(self) -> None:
        first, second = (self._address(side) for side in self.sides)
        if first.database == second.database and cloning.same_server(first, second):
            raise CheckError("Both environments name the same database, so it would be compared with itself.")

    def _ask_database(self, side: Side) -> None:
        what = f"the database of {side.environment}"
        with connected(self._address(side), what=what) as connection:

            def ask() -> None:
                of_database.gather(connection, side, self.params.settings)
                side.fill(Area.SCHEMA, of_schema.facts(connection))

            patiently(self.context, connection, ask)

    def _migrate(self) -> None:
        with self.context.step("migrate") as step:
            if self.params.migrate is None or not self._wanted(Area.SCHEMA):
                step.skip("The plan names no command that migrates a clone; the schemas are compared as they are.")
            elif (Area.SCHEMA, "") in self.there.unknown or (Area.SCHEMA, "") in self.here.unknown:
                step.skip("The databases could not be asked.")
            else:
                command = self.params.migrate
                self._try(self.there, (Area.SCHEMA,), lambda: self._migrate_clone(command))

    def _migrate_clone(self, command: Command) -> None:
        source = self._address(self.there)
        before = dict(self.there.facts[Area.SCHEMA])
        with cloning.clone(
            self.context, source, server=source, method=self.params.clone,
            lock_timeout=self.params.lock_timeout, visitors_wait=self.params.visitors_wait,
        ) as clone:  # fmt: skip
            variables = self.context.variables(self.there.environment)
            original = self.context.database_url(self.there.environment)
            url = clone.address.url()
            variables = {name: url if value == original else value for name, value in variables.items()}
            self.context.command(
                self._for(self.there, command.arguments),
                timeout=command.timeout.total_seconds(),
                variables={**variables, **command.variables, "GONOGO_ENVIRONMENT": self.there.environment},
            )
            with connected(clone.address, what="the clone") as connection:
                migrated = patiently(self.context, connection, lambda: of_schema.facts(connection))
        with connected(source, what=f"the database of {self.there.environment}") as connection:
            now = patiently(self.context, connection, lambda: of_schema.facts(connection))
        if now != {name: fact.value for name, fact in before.items()}:
            raise CheckError(f"The schema of {self.there.environment} itself changed while its clone was migrated.")
        self.there.facts[Area.SCHEMA] = {}
        self.there.fill(Area.SCHEMA, migrated)

    # --- commands -----------------------------------------------------------------------------------------------------

    def _for(self, side: Side, argv: list[str]) -> list[str]:
        """A command as that environment runs it: without variables that only the check's own environment has."""
        others = self.context.variables(side.environment)
        strange = [name for name in self.context.variables() if name not in others]
        return ["env", *(part for name in strange for part in ("-u", name)), *argv] if strange else argv

    def _capture(self, side: Side, command: Command) -> str:
        variables = {
            **self.context.variables(side.environment),
            **command.variables,
            "GONOGO_ENVIRONMENT": side.environment,
            of_system.KEY_VARIABLE: self.key,
        }
        return self.context.capture(
            self._for(side, command.arguments), timeout=command.timeout.total_seconds(), variables=variables
        ).output

    def _ask_system(self, side: Side) -> None:
        self._declared(side)
        if self.params.facts is None:
            for area in REPORTED_AREAS:
                side.miss(area, "the plan names no command that says it (facts)")
        elif self._wanted(*REPORTED_AREAS, Area.PACKAGE):
            command = self.params.facts
            self._try(side, REPORTED_AREAS, lambda: of_system.take_report(
                of_system.read_report(self._capture(side, command)), side))  # fmt: skip
        if self._wanted(Area.PACKAGE):
            self._try(side, (Area.PACKAGE,), lambda: self._ask_packages(side))

    def _ask_packages(self, side: Side) -> None:
        if self.params.packages is not None:
            listed = self._capture(side, self.params.packages)
            side.facts[Area.PACKAGE] = {}
            side.fill(Area.PACKAGE, of_system.read_packages(listed, of_system.marker_environment(side)))
        elif not side.facts.get(Area.PACKAGE):
            raise CheckError("Neither the facts command nor one of its own (packages) says which packages there are.")

    def _ask_lock(self) -> None:
        command = self.params.lock
        if command is None or not self._wanted(Area.PACKAGE):
            return

        def ask() -> None:
            listed = self._capture(self.here, command)
            self.brought = of_system.read_packages(listed, of_system.marker_environment(self.here))

        self._try(self.here, (Area.PACKAGE,), ask)

    def _declared(self, side: Side) -> None:
        """Names of the plan's variables and secrets, by a hash under a key that only this run knows."""
        values = self.context.variables(side.environment)
        section = self.context.plan.environment(side.environment)
        side.facts.setdefault(Area.SECRET, {})
        side.facts.setdefault(Area.PLAN_VARIABLE, {})
        for name, value in values.items():
            area = Area.SECRET if name in section.secrets else Area.PLAN_VARIABLE
            side.put(area, name, of_system.keyed(self.key, value), "set")

    # --- outside ------------------------------------------------------------------------------------------------------

    def _refuse_one_url(self) -> None:
        first, second = (self.context.plan.environment(side.environment).url for side in self.sides)
        if same_address(first, second):
            raise CheckError("Both environments name the same url, so it would be compared with itself.")

    def _look_from_outside(self, side: Side) -> None:
        if self._wanted(Area.HTTP, Area.TLS) and (Area.HTTP, "") not in self.here.unknown:
            of_web.gather(self.context.plan.environment(side.environment).url, self.params.pages, side)
        self.context.check()
        if not self._wanted(Area.INTEGRATION):
            return
        values = self.context.variables(side.environment)
        for name, integration in self.params.integrations.items():
            address = values.get(integration.variable, "") if integration.variable else integration.address
            self.context.check()
            if not address:
                side.miss(Area.INTEGRATION, f"the plan gives no variable {integration.variable}", name)
                continue
            answer = of_web.reach(address)
            side.put(Area.INTEGRATION, name, answer.split(":", 1)[0], answer)

    # --- verdict ------------------------------------------------------------------------------------------------------

    def _judge(self) -> Outcome:
        names = (self.here.environment, self.there.environment)
        with self.context.step("compare") as step:
            sections = [self.context.plan.environment(name) for name in names]
            own = frozenset(name for section in sections for name in (section.database, *section.secrets))
            policy = self.params.policy(self.brought, own)
            rows = comparing.compare(self.here, self.there, policy)
            found = {state: [row for row in rows if row.state is state] for state in State}
            for state in (State.BREAKING, State.UNKNOWN, State.DRIFT):
                for row in found[state]:
                    self.context.warn(f"{state}: {report.sentence(row, names)}"[:1000])
            if not rows:
                raise CheckError("No fact was compared, so nothing can be said.", remedy=_ALL_LEFT_OUT)
            refused = found[State.BREAKING] or (found[State.DRIFT] if self.params.strict else [])
            if refused or found[State.UNKNOWN]:
                step.fail(report.sentence([*refused, *found[State.UNKNOWN]][0], names))
            artifacts = [
                self.context.store(path.name, path) for path in report.write(rows, names, self.context.scratch)
            ]
        result = report.as_result(rows, names, self.params.leave_out, comparing.unseen(rows, policy))
        outcome = Outcome(
            not refused, _summary(found, refused, names), figures=report.counts(rows),
            result={**result, "migrated": self.params.migrate is not None}, artifacts=artifacts,
        )  # fmt: skip
        if found[State.UNKNOWN] and not refused:
            raise Inconclusive(_unknown(found[State.UNKNOWN], names), outcome=outcome, remedy=(
                "Make it known, or leave it out in the plan with a reason (leave_out)."))  # fmt: skip
        return outcome


_ALL_LEFT_OUT: Final = "The plan leaves out whatever there is (leave_out); let it look at something."


def _summary(found: Mapping[State, list[Row]], refused: list[Row], names: tuple[str, str]) -> str:
    here, there = names
    numbers = f"{len(found[State.SAME]):,} facts are the same, {len(found[State.EXPECTED]):,} differ as expected"
    drifts = f"{len(found[State.DRIFT]):,} drifted"
    if refused:
        more = f" (and {len(refused) - 1:,} more)" if len(refused) > 1 else ""
        return f"{here} does not mirror {there}: {report.sentence(refused[0], names)}{more}"[:500]
    return f"{here} mirrors {there}: {numbers}, {drifts}."


def _unknown(rows: list[Row], names: tuple[str, str]) -> str:
    more = f" (and {len(rows) - 1:,} more)" if len(rows) > 1 else ""
    return f"Not everything could be compared: {report.sentence(rows[0], names)}{more}."[:500]
