"""Gate test: known faults are planted in copies, and the checks of the plan have to say no and name them."""

import http.client
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError

from checks.enums import StepCategory
from checks.errors import CheckError
from checks.kinds.base import Inconclusive, Kind, KindParams, Outcome, RunContext, Step, get_kind, register
from checks.plan import Plan, Request
from checks.tools import dumping, facts, schema, scratch
from checks.tools.background import patiently
from checks.tools.planting.faults import COPY_VARIABLE, FAULTS, Fault, Ground, Planted, refuse_unknown
from checks.tools.planting.materials import NotPlantable
from checks.tools.planting.proxy import spoiled
from checks.tools.planting.surroundings import Surroundings
from checks.tools.postgres import Address, connected, drop_database, maintenance
from releases.enums import Tier
from releases.models import Environment


class GateTestParams(KindParams):
    faults: Annotated[list[str], AfterValidator(refuse_unknown)] = Field(
        default=[], description="The faults that are planted; empty for every one that can be."
    )


@register
class GateTest(Kind):
    """Passed means: each planted fault made its check say no and was named by it, and was not named without it."""

    name: ClassVar[str] = "gate_test"
    title: ClassVar[str] = "Test of the gate"
    description: ClassVar[str] = (
        "Plants known faults in copies of the rehearsal environment, expects each check to say no and to name them, and"
        " takes them away again."
    )
    Params: ClassVar[type[GateTestParams]] = GateTestParams
    tiers: ClassVar[frozenset[Tier]] = frozenset({Tier.DEVELOPMENT, Tier.STAGING})
    needs_release: ClassVar[bool] = True
    judges_running_build: ClassVar[bool] = True
    valid_hours: ClassVar[int] = 168

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        return [Step("look", "Look at what is to be copied", StepCategory.DATABASE)] + [
            Step(fault.key, fault.title) for fault in _chosen(params)
        ] + [Step("after", "See that nothing is left behind", StepCategory.DATABASE)]  # fmt: skip

    def alone_in(self, params: Any, environment: str) -> list[str]:
        # Answers that come late, and rows that appear, are taken for the planted faults.
        return [environment]

    def run(self, context: RunContext) -> Outcome:
        return _Test(context).run()


def _chosen(params: GateTestParams) -> list[Fault]:
    return [fault for fault in FAULTS if not params.faults or fault.key in params.faults]


@dataclass
class _Seen:
    """What a check said once. ``said``: passed, failed or errored; ``named``: what it found wrong."""

    said: str
    summary: str
    named: list[str]


class _Test:
    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.environment: Environment = context.run.environment
        self.original = Address.parse(context.database_url(), what=f"The database of {self.environment.name}")
        self.told: list[dict[str, Any]] = []

    def run(self) -> Outcome:
        with self.context.step("look"):
            before = self._schema()
            self.headers = self._headers()
        for fault in _chosen(self.context.params):
            with self.context.step(fault.key) as step:
                row = self._try(fault)
                self.told.append({"key": fault.key, "title": fault.title, "kind": fault.kind, **row})
                if row["verdict"] == "untested":
                    step.skip(row["why"])
                elif row["verdict"] != "caught":
                    step.fail(row["why"])
        with self.context.step("after"):
            if self._schema() != before:
                raise CheckError(
                    f"The schema of {self.environment.name} is another than before the test.",
                    remedy="Find out who changed it meanwhile; the faults were planted in copies only.",
                )
        return self._judge()

    def _judge(self) -> Outcome:
        found = {verdict: [row for row in self.told if row["verdict"] == verdict]
                 for verdict in ("caught", "missed", "untested", "unclear")}  # fmt: skip
        tried = len(self.told) - len(found["untested"])
        missed = found["missed"]
        said = f"{len(found['caught'])} of {tried} planted faults were caught"
        more = f"; missed: {', '.join(row['title'].lower() for row in missed)}" if missed else ""
        outcome = Outcome(
            tried > 0 and len(found["caught"]) == tried, f"{said}{more}.",
            figures={verdict: len(rows) for verdict, rows in found.items()}, result={"faults": self.told},
        )  # fmt: skip
        if not missed and (found["unclear"] or not tried):
            why = found["unclear"][0]["why"] if found["unclear"] else "no fault could be planted"
            raise Inconclusive(f"{said}, and the rest is not known: {why}", outcome=outcome,
                               remedy="See in the log what the check could not do.")  # fmt: skip
        return outcome

    # --- one fault ----------------------------------------------------------------------------------------------------

    def _try(self, fault: Fault) -> dict[str, Any]:
        """Run the check without the fault and with it. The fault is gone when this returns, however it returns."""
        section, planned = self._section(fault)
        if planned is None:
            return {"verdict": "untested", "why": f"the plan has no check of kind {fault.kind}", "section": ""}
        try:
            if fault.needed is not None:
                fault.needed()
            with ExitStack() as stack:
                copy = stack.enter_context(self._copy()) if fault.copy else None
                clean = self._look(fault, section, planned, {}, copy, None, "without")
                planted = fault.plant(planned, self._ground(section, planned, copy))
                if planted.removed is not None:
                    stack.callback(planted.removed)
                self.context.note(f"Planted: {planted.told}.")
                seen = self._look(fault, section, planned, planted.params, copy, planted, "with")
        except NotPlantable as reason:
            return {"verdict": "untested", "why": str(reason), "section": section}
        row = {"section": section, "planted": planted.told, "named": planted.named,
               "without": {"said": clean.said, "summary": clean.summary},
               "with": {"said": seen.said, "summary": seen.summary}}  # fmt: skip
        return {**row, **_verdict(planted, clean, seen)}

    def _ground(self, section: str, planned: Mapping[str, Any], copy: Address | None) -> Ground:
        run, place = self.context.run, self._place(section)
        return Ground(
            copy, self.original, self.context.plan.environment(place).database, self._requests(planned), self.headers,
            (self.context.build_file, run.release.build_name if run.release else ""),
            (run.application.slug, place, run.pk.hex),
        )  # fmt: skip

    def _section(self, fault: Fault) -> tuple[str, dict[str, Any] | None]:
        """The plan's first check of the kind with its parameters; a kind that needs none is tried without a plan's."""
        for key, check in self.context.plan.checks.items():
            if check.kind == fault.kind:
                return f"checks.{key}", dict(check.params)
        return "", None if fault.kind == "migration" else {}

    def _place(self, section: str) -> str:
        return self.context.plan.check(section).environment if section else self.environment.name

    def _look(
        self, fault: Fault, section: str, planned: Mapping[str, Any], changed: Mapping[str, Any],
        copy: Address | None, planted: Planted | None, word: str,
    ) -> _Seen:  # fmt: skip
        kind = get_kind(fault.kind)
        try:
            params = kind.Params.model_validate({**planned, **fault.clean, **changed})
        except ValidationError as error:
            raise NotPlantable(f"the check's parameters do not fit: {error.errors()[0]['msg']}") from None
        name = self._place(section) if fault.at_home else self.environment.name
        place = Environment.objects.get(application=self.environment.application_id, name=name)
        with ExitStack() as stack:
            urls = {}
            if planted is not None and planted.spoiling is not None:
                url = self.context.plan.environment(self.environment.name).url
                urls[self.environment.name] = stack.enter_context(spoiled(url, planted.spoiling))
            replaced = {self.original_url: copy.url()} if copy is not None and fault.kind == "parity" else {}
            inner = Surroundings(
                self.context, label=f"{fault.key}-{word}", section=section or f"checks.{fault.kind}", params=params,
                environment=place, urls=urls, databases=replaced,
                extra={COPY_VARIABLE: copy.url()} if copy is not None else {},
                listed=planted.listed if planted is not None else "",
            )  # fmt: skip
            try:
                return _seen(kind, inner)
            finally:
                if fault.kind == "reconcile":
                    # What it kept to go on from would tell the next look what this one saw.
                    kind.ended(self.context.run)

    @property
    def original_url(self) -> str:
        return self.context.database_url()

    def _requests(self, planned: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        declared = [Request.model_validate(each) for each in planned.get("requests") or []]
        return [each.model_dump(mode="json") for each in declared or self.context.plan.deploy.smoke]

    # --- copies -------------------------------------------------------------------------------------------------------

    @contextmanager
    def _copy(self) -> Iterator[Address]:
        """A copy of the environment's database for one fault, dropped afterwards."""
        context, source = self.context, self.original
        name = scratch.name_of(context, "restore")
        orders = maintenance(source)
        with connected(source, what="the database to copy") as connection:
            shape = facts.database_facts(connection)["database"]
        with connected(orders, what="the server") as connection:
            scratch.sweep(context, connection)
            drop_database(connection, name)
            patiently(context, connection, lambda: scratch.create_empty(connection, name, shape))
        try:
            pieces = dumping.dump(context, source, lock_timeout=timedelta(seconds=30))
            try:
                dumping.load(context, source.named(name), pieces, arguments=["--single-transaction"])
            finally:
                pieces.close()
            yield source.named(name)
        finally:
            scratch.drop_at_the_end(context, orders, name)

    def _schema(self) -> str:
        with connected(self.original, what=f"the database of {self.environment.name}") as connection:
            return schema.schema_digest(patiently(self.context, connection, lambda: schema.schema_objects(connection)))

    def _headers(self) -> frozenset[str]:
        """Names of the headers of the first page, in small letters; none where nothing answers."""
        url = self.context.plan.environment(self.environment.name).url
        parts = urlsplit(url)
        if not parts.hostname:
            return frozenset()
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname, parts.port, timeout=10)
        try:
            connection.request("GET", parts.path or "/")
            return frozenset(name.lower() for name, _ in connection.getresponse().getheaders())
        except (OSError, http.client.HTTPException) as error:
            self.context.warn(f"{self.environment.name} does not answer: {error}")
            return frozenset()
        finally:
            connection.close()


def _seen(kind: Kind, inner: Surroundings) -> _Seen:
    """Run a check in its surroundings; what it named is all that it returned."""
    try:
        outcome = kind.rehearse(inner)
        said = "passed" if outcome.passed is True else "failed"
    except Inconclusive as error:
        outcome, said = error.outcome, "errored"
    except CheckError as error:
        return _Seen("errored", error.message, [])
    return _Seen(said, outcome.summary[:300], _named(kind.name, outcome.result))


def _named(kind: str, result: Mapping[str, Any]) -> list[str]:
    """What the check found wrong, each by its own name; sentences where the kind writes sentences."""
    if kind == "parity":
        return [row["fact"] for area in result["areas"] for row in area["rows"] if row["state"] == "breaking"]
    if kind == "smoke":
        return [answer["path"] for answer in result["answers"] if not answer["passed"]]
    if kind == "audit":
        return [row["place"] for row in result["findings"] if row["blocks"]]
    if kind == "drill":
        return [str(sentence) for sentence in result["differences"]]
    if kind == "reconcile":
        return [table["label"] for table in result["tables"] if not table["agrees"]]
    return [str(sentence) for sentence in result.get("problems", [])]


def names(said: Iterable[str], wanted: str) -> bool:
    """Whether a name is among what was said, whole: ``/`` is not in ``/courses/``, nor ``a.b`` in ``a.b_old``."""
    whole = re.compile(rf"(?<![\w./-]){re.escape(wanted)}(?![\w/-]|\.\w)")
    return any(whole.search(line) for line in said)


def _verdict(planted: Planted, clean: _Seen, seen: _Seen) -> dict[str, str]:
    """Caught: said no, and named what was planted, which it had not named before."""
    if seen.said == "errored" or (clean.said == "errored" and not clean.named):
        broken = seen if seen.said == "errored" else clean
        return {"verdict": "unclear", "why": f"the check could not judge: {broken.summary}"}
    if names(clean.named, planted.named):
        return {"verdict": "unclear", "why": f"the check named {planted.named} without the fault as well"}
    if seen.said == "passed":
        return {"verdict": "missed", "why": f"the check passed although {planted.told}"}
    if not names(seen.named, planted.named):
        return {"verdict": "missed", "why": f"the check said no, and did not name {planted.named}"}
    return {"verdict": "caught", "why": f"said no and named {planted.named}"}
