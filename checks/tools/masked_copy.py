"""A copy of a database that may leave it: looked at, cloned beside the original, masked there, and proven.

Until it is masked, the clone is as personal as the original. So it never stands anywhere else than on the original's
own server, under the original's role, and nobody else may connect to it.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from checks.enums import StepCategory
from checks.kinds.base import Artifact, RunContext, Step, StepHandle
from checks.tools import classifying, cloning, dumping, facts, leaks, masked_clone, sampling, scratch
from checks.tools.background import patiently
from checks.tools.inventory import PrivacySection
from checks.tools.postgres import Address, connected
from checks.tools.transition.work import SCHEMA as KEPT
from releases import spreadsheet

MAX_SHOWN: Final = 500
LOOK: Final = (
    Step("look", "Look for personal data", StepCategory.DATABASE),
    Step("compare", "Compare with the inventory"),
)
MAKE: Final = (
    Step("clone", "Clone the database", StepCategory.DATABASE),
    Step("mask", "Mask the clone", StepCategory.DATABASE),
    Step("prove", "Prove that nothing is left in it", StepCategory.DATABASE),
)
CARRY: Final = Step("carry", "Carry the masked data over", StepCategory.DATABASE)
#: Large objects are not masked, so they stay; nor may a copy go on following, or feeding, anybody.
_LEFT_OUT: Final = ("--no-large-objects", "--no-publications", "--no-subscriptions", "--no-security-labels")

#: Of the inventory as a file.
COLUMNS: Final = ("column", "state", "category", "basis", "retention", "mask", "why", "reasons", "shape")


@dataclass(frozen=True)
class Limits:
    """``rows``: how many of each table are looked at. How long one look, one proof and one lock may take, and how long
    a copy of files may keep new sessions of the original waiting.
    """

    rows: int = 300
    look: timedelta = timedelta(seconds=20)
    proof: timedelta = timedelta(minutes=10)
    lock: timedelta = timedelta(seconds=30)
    visitors_wait: timedelta = timedelta(milliseconds=500)
    method: cloning.Method = "auto"


class MaskedCopy:
    """One walk through the steps. ``told`` collects a sentence for each reason to say no; no sentence holds a value.

    ``clone``: the one beside the original, once it was made.
    """

    def __init__(self, context: RunContext, source: Address, limits: Limits) -> None:
        self.context = context
        self.source = source
        self.limits = limits
        self.section: PrivacySection = context.plan.privacy
        self.told: list[str] = []
        self.result: dict[str, Any] = {"problems": self.told, "rehearsed": False, "leaks": [], "not_provable": []}
        self.figures: dict[str, Any] = {}
        self.clone: cloning.Clone | None = None

    def look(self) -> None:
        """The steps ``look`` and ``compare``."""
        context = self.context
        with context.step("look") as step, connected(self.source, what="the database") as connection:
            sampling.read_only(connection, self.limits.look)

            def progress(label: str, done: int, total: int) -> None:
                step.doing(label)
                step.progress(done, total, "tables")
                context.check()

            found = sampling.audit(connection, rows=self.limits.rows, progress=progress)
            self.result["large_objects"] = masked_clone.large_objects(connection)
            self.result["foreign"] = masked_clone.foreign_tables(connection)
            step.figure("columns", len(found.columns))
            step.figure("values", found.values)
        self._compare(found)

    def _compare(self, found: sampling.Audit) -> None:
        with self.context.step("compare") as step:
            comparison = classifying.compare(found, self.section)
            self.result |= {name: comparison[name][:MAX_SHOWN] for name in ("unclassified", "classified")}
            self.result |= {"missing": comparison["missing"], "misfits": comparison["misfits"]}
            self.figures |= {
                "columns": len(found.columns),
                "personal": comparison["personal"],
                "unclassified": len(comparison["unclassified"]),
                "missing": len(comparison["missing"]),
            }
            self.tell(comparison["problems"])
            if comparison["problems"]:
                step.fail(f"{len(comparison['problems'])} thing(s) to put right in the inventory")

    @contextmanager
    def made(self) -> Iterator[Address]:
        """The steps ``clone``, ``mask`` and ``prove``; the masked clone until the block ends. See ``told`` first."""
        context, limits = self.context, self.limits
        with ExitStack() as stack:
            with context.step("clone") as step:
                copying = cloning.clone(
                    context, self.source, server=self.source, method=limits.method, lock_timeout=limits.lock,
                    visitors_wait=limits.visitors_wait,
                )  # fmt: skip
                clone = stack.enter_context(copying)
                step.figure("seconds", clone.seconds)
            self.clone = clone
            self.result["clone"] = {
                "method": clone.method,
                "seconds": clone.seconds,
                "passed_over": [list(each) for each in clone.passed_over],
            }
            self._mask(clone.address)
            with context.step("prove") as step:
                sentences = self.prove(clone.address, "the masked clone", step)
                if sentences:
                    step.fail(sentences[0])
            self.result["rehearsed"] = True
            yield clone.address

    def refuse_foreign(self, place: str) -> None:
        """Tell the tables that would show the original's data in a copy, wherever it stands."""
        self.tell(
            [
                f"{name} is a foreign table: a copy of it would show the original's data in {place}."
                for name in self.result["foreign"]
            ]
        )

    @contextmanager
    def carried(self, clone: Address, server: Address) -> Iterator[Address]:
        """The step ``carry``: the masked clone in a fresh database at ``server``, whose role owns all of it.

        A dump takes no row that was written over. The database is dropped at the end, where it still has its name.
        """
        context = self.context
        with ExitStack() as stack:
            with context.step(CARRY.key) as step:
                with connected(self.source, what="the original") as connection:
                    shape = facts.database_facts(connection)["database"]
                fresh = stack.enter_context(scratch.scratch_database(context, server, scratch.RESTORE, like=shape))

                def progress(done: int) -> None:
                    self.figures["carried_bytes"] = done
                    step.progress(done, None, "bytes")

                pieces = dumping.dump(
                    context, clone, lock_timeout=self.limits.lock, arguments=_LEFT_OUT, progress=progress
                )
                try:
                    dumping.load(context, fresh, pieces, arguments=["--no-owner", "--no-acl"])
                finally:
                    pieces.close()
                with connected(fresh, what="the fresh database") as connection:
                    patiently(context, connection, lambda: connection.execute("ANALYZE"))
            yield fresh

    def _mask(self, clone: Address) -> None:
        context = self.context
        with context.step("mask") as step:

            def progress(label: str, done: int, total: int) -> None:
                step.doing(label)
                step.progress(done, total, "rows")

            key = masked_clone.key_of(context, self.section)
            masking = masked_clone.mask(context, clone, self.section, key, progress)
            for name, value in (("rows", masking.rows), ("values", masking.values), ("seconds", masking.seconds)):
                step.figure(name, value)
            self.result |= {"masked": masking.tables, "views": masking.views, "dropped": masking.dropped}
            if masking.dropped:
                context.note(
                    f"Dropped from the clone: {len(masking.dropped)} table(s) of the schema {KEPT}, in which this"
                    " program keeps what undoing a transition needs."
                )
            self.figures |= {"masked_rows": masking.rows, "masking_seconds": masking.seconds}

    def prove(self, clone: Address, what: str, step: StepHandle) -> list[str]:
        """Look through one database for every masked value; the sentences are told as well."""
        context = self.context

        def progress(label: str, done: int, total: int) -> None:
            step.doing(label)
            step.progress(done, total, "columns")

        proof = leaks.prove(
            context, source=self.source, clone=clone, section=self.section,
            statement_timeout=self.limits.proof, progress=progress,
        )  # fmt: skip
        step.figure("compared", proof.compared)
        step.figure("places", proof.places)
        self.result["leaks"] += [{"where": what, **leak} for leak in proof.leaks]
        self.result["not_provable"] += [row for row in proof.not_provable if row not in self.result["not_provable"]]
        self.figures |= {"compared": proof.compared, "leaks": len(self.result["leaks"])}
        sentences = classifying.leak_sentences(proof, what)
        self.tell(sentences)
        return sentences

    def files(self) -> list[Artifact]:
        """The inventory for a spreadsheet, and everything as JSON; neither holds a value of anybody."""
        columns = [{**row, "state": "not classified"} for row in self.result["unclassified"]]
        columns += [{**row, "state": "classified"} for row in self.result["classified"]]
        whole = json.dumps({**self.result, "figures": self.figures}, indent=1, default=str).encode()
        return [
            self.context.store("inventory.csv", b"".join(spreadsheet.lines(COLUMNS, columns))),
            self.context.store("privacy.json", whole),
        ]

    def tell(self, sentences: list[str]) -> None:
        self.told += sentences
        for sentence in sentences:
            self.context.warn(sentence)

    def why_not(self) -> str:
        """The first sentence that was told, and how many more there are."""
        more = f" (and {len(self.told) - 1} more)" if len(self.told) > 1 else ""
        return (self.told[0] + more)[:500] if self.told else ""
