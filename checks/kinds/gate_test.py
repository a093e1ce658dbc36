"""Gate test: known faults are planted in copies, and the checks of the plan have to say no and name them.

The plan's own rules decide what is a no. What they only warn of is told as that, and proves nothing.
"""

import http.client
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from django.db import transaction
from psycopg import sql
from pydantic import AfterValidator, Field, ValidationError

from checks.enums import StepCategory
from checks.errors import CheckError
from checks.kinds.audit import LOOKS
from checks.kinds.base import Inconclusive, Kind, KindParams, Outcome, RunContext, Step, get_kind, register
from checks.models import Run
from checks.plan import Plan
from checks.tools import dumping, facts, schema, scratch
from checks.tools.background import patiently
from checks.tools.planting import judging, proving
from checks.tools.planting.fault import Fault, Ground, Planted, in_a_sentence, not_tested
from checks.tools.planting.faults import COPY_VARIABLE, FAULTS, refuse_unknown
from checks.tools.planting.in_answers import requests_of
from checks.tools.planting.in_audits import remove_reports
from checks.tools.planting.in_backups import remove_left
from checks.tools.planting.judging import Seen
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
    """Passed means: each planted fault made its check say no and was named by it, and was not named without it.

    Those that the plan's own rules only warn of are told and count for nothing; at least one was caught.
    """

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

    def ended(self, run: Run) -> None:
        """Where its worker was killed and there is no further attempt, what it planted in storage goes now."""
        transaction.on_commit(lambda: _remove_stored(run), robust=True)


def _remove_stored(run: Run) -> None:
    """What was planted in storage."""
    places = run.application.environments.values_list("name", flat=True)
    remove_left(run.application.slug, list(places), run.pk.hex)
    remove_reports(run.application.slug, run.pk.hex)


def _chosen(params: GateTestParams) -> list[Fault]:
    return [fault for fault in FAULTS if not params.faults or fault.key in params.faults]


def _planted(stack: ExitStack, planted: Planted) -> Planted:
    """What lies elsewhere than in a copy goes when the stack is left."""
    if planted.removed is not None:
        stack.callback(planted.removed)
    return planted


class _Test:
    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.environment: Environment = context.run.environment
        self.original = Address.parse(context.database_url(), what=f"The database of {self.environment.name}")
        self.told: list[dict[str, Any]] = []
        self.clean: dict[tuple[str, str, str], Seen] = {}

    def run(self) -> Outcome:
        with self.context.step("look"):
            self._clear_away()
            before = self._schema()
            self.headers = self._headers()
        for fault in _chosen(self.context.params):
            with self.context.step(fault.key) as step:
                row = self._try(fault)
                about = {"key": fault.key, "title": fault.title, "kind": fault.kind, "look": fault.look}
                self.told.append({**about, **row})
                if row["verdict"] in ("untested", "warned"):
                    step.skip(row["why"])
                elif row["verdict"] != "caught":
                    step.fail(row["why"])
        with self.context.step("after"):
            if self._schema() != before:
                raise CheckError(
                    f"The schema of {self.environment.name} is another than before the test.",
                    remedy="Find out who changed it meanwhile; the faults were planted in copies only.",
                )
            self._refuse_leftovers()
        return self._judge()

    def _clear_away(self) -> None:
        """What an attempt before this one left when its worker was killed, whatever can be planted now."""
        _remove_stored(self.context.run)
        with connected(maintenance(self.original), what="the server") as connection:
            scratch.sweep(self.context, connection)

    def _refuse_leftovers(self) -> None:
        with connected(maintenance(self.original), what="the server") as connection:
            left = scratch.left_of(connection, self.context.run.pk.hex)
        if left:
            raise CheckError(
                f"The copy {left[0]}, in which a fault was planted, is still there.",
                remedy="See in the log why it could not be dropped. The next run on this server drops it.",
            )

    def _judge(self) -> Outcome:
        found = {verdict: [row for row in self.told if row["verdict"] == verdict]
                 for verdict in ("caught", "missed", "warned", "untested", "unclear")}  # fmt: skip
        caught, missed = found["caught"], found["missed"]
        tried = len(caught) + len(missed) + len(found["unclear"])
        said = f"{len(caught)} of {tried} planted faults were caught" + "".join(
            f"; {words}: {', '.join(in_a_sentence(row['title']) for row in found[verdict])}"
            for verdict, words in (("missed", "missed"), ("warned", "the plan's rules would only warn of"))
            if found[verdict]
        )
        left = f"; {len(found['untested'])} not tested, each says why" if found["untested"] else ""
        checks = proving.of_plan(self.context.plan, self.told, LOOKS)
        # Whoever reads only this line must not take the checks that nobody tried for proven ones.
        own = [row for row in checks if row["section"].startswith("checks.")]
        left += (
            f"; that proves {sum(row['state'] == 'proven' for row in own)} of the plan's {len(own)} checks and looks"
        )
        outcome = Outcome(
            len(caught) == tried > 0, f"{said}{left}."[:500],
            figures={verdict: len(rows) for verdict, rows in found.items()},
            result={"faults": self.told, "checks": checks},
        )  # fmt: skip
        if not missed and (found["unclear"] or not tried):
            if not tried:
                told = f"Nothing is proven: {said}{left}."
            else:
                told = f"{said}, and the rest is not known: {found['unclear'][0]['why']}"
            raise Inconclusive(told, outcome=outcome, remedy="Each fault says why; see the log as well.")
        return outcome

    # --- one fault ----------------------------------------------------------------------------------------------------

    def _try(self, fault: Fault) -> dict[str, Any]:
        """Run the check without the fault and with it. The fault is gone when this returns, however it returns."""
        section = self._section(fault)
        if not section:
            wanted = f"{fault.kind} with the look {fault.look}" if fault.look else fault.kind
            return {"verdict": "untested", "why": not_tested(f"the plan has no check of kind {wanted}"), "section": ""}
        planned = dict(self.context.plan.check(section).params)
        try:
            if fault.needed is not None:
                fault.needed(self.context.plan, planned, self.environment.name)
            with ExitStack() as stack:
                copy = stack.enter_context(self._copy()) if fault.copy else None
                ground = self._ground(fault, section, planned, copy)
                sound = _planted(stack, fault.sound(planned, ground)) if fault.sound is not None else None
                clean = self._look(fault, section, planned, copy, "without", sound)
                planted = _planted(stack, fault.plant(planned, replace(ground, clean=clean.result)))
                self.context.note(f"Planted: {planted.told}.")
                seen = self._look(fault, section, planned, copy, "with", planted)
                if planted.missed is not None and (why := planted.missed()):
                    raise NotPlantable(why)
        except NotPlantable as reason:
            return {"verdict": "untested", "why": not_tested(str(reason)), "section": section}
        row = {"section": section, "planted": planted.told, "named": planted.named,
               "without": {"said": clean.said, "summary": clean.summary},
               "with": {"said": seen.said, "summary": seen.summary}}  # fmt: skip
        return {**row, **judging.verdict(planted, clean, seen)}

    def _ground(self, fault: Fault, section: str, planned: Mapping[str, Any], copy: Address | None) -> Ground:
        run, place = self.context.run, self._place(fault, section)
        return Ground(
            copy=copy, original=self.original, variable=self.context.plan.environment(place).database,
            requests=requests_of(self.context.plan, planned) if fault.kind == "smoke" else [], headers=self.headers,
            build=(self.context.build_file, run.release.build_name if run.release else ""),
            owner=(run.application.slug, place, run.pk.hex), clean={}, folder=self._folder(fault.key),
        )  # fmt: skip

    def _folder(self, name: str) -> Path:
        folder = self.context.scratch / f"planted-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _section(self, fault: Fault) -> str:
        """The plan's first check of the kind (of an audit, with that look); '' where there is none.

        Nothing is tried that the plan does not do: a fault that another plan would catch says nothing of this one.
        """
        for key, check in self.context.plan.checks.items():
            if check.kind == fault.kind and (not fault.look or check.params.get(fault.look) is not None):
                return f"checks.{key}"
        return ""

    def _place(self, fault: Fault, section: str) -> str:
        return self.context.plan.check(section).environment if fault.at_home else self.environment.name

    def _look(
        self, fault: Fault, section: str, planned: Mapping[str, Any], copy: Address | None, word: str,
        shown: Planted | None,
    ) -> Seen:  # fmt: skip
        """One look of the check, ``word`` (with, without) the fault; ``shown``: what it is shown, nothing without."""
        changed = shown.params if shown is not None else {}
        try:
            shaped = fault.shaped(planned) if fault.shaped is not None else {}
            params = get_kind(fault.kind).Params.model_validate({**planned, **fault.clean, **shaped, **changed})
        except ValidationError as error:
            raise NotPlantable(f"the check's parameters do not fit: {error.errors()[0]['msg']}") from None
        # Faults of one kind that plant nothing before it share the look without them.
        shared = (fault.kind, section, params.model_dump_json()) if copy is None and shown is None else None
        if shared is not None and shared in self.clean:
            return self.clean[shared]
        seen = self._seen(fault, section, params, copy, word, shown)
        if shared is not None:
            self.clean[shared] = seen
        return seen

    def _seen(
        self, fault: Fault, section: str, params: KindParams, copy: Address | None, word: str, shown: Planted | None
    ) -> Seen:
        kind, shown = get_kind(fault.kind), shown or Planted("", "")
        place = Environment.objects.get(application=self.environment.application_id, name=self._place(fault, section))
        with ExitStack() as stack:
            urls = {}
            if shown.spoiling is not None:
                url = self.context.plan.environment(self.environment.name).url
                urls[self.environment.name] = stack.enter_context(spoiled(url, shown.spoiling))
            inner = Surroundings(
                self.context, label=f"{fault.key}-{word}", section=section, params=params, environment=place, urls=urls,
                databases={self.context.database_url(): copy.url()} if copy is not None and fault.in_place else {},
                extra={COPY_VARIABLE: copy.url()} if copy is not None else {},
                build=shown.build, during=shown.during,
            )  # fmt: skip
            try:
                return judging.look(kind, inner)
            finally:
                if fault.kind == "reconcile":
                    # What it kept to go on from would tell the next look what this one saw.
                    kind.ended(self.context.run)

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
            # Rights of the original's database do not come along with a copy.
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
        try:
            pieces = dumping.dump(context, source, lock_timeout=timedelta(seconds=30))
            try:
                dumping.load(context, source.named(name), pieces)
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
