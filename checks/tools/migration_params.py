"""What a plan may say of a migration rehearsal."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, StringConstraints

from checks.kinds.base import KindParams
from checks.plan import Command, Duration
from checks.tools import cloning, limits

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class MigrationParams(KindParams):
    command: Command = Field(description="What migrates: it finds the clone in the environment's database variable.")
    tools: str = Field(
        default="",
        max_length=60,
        description="Environment whose variables the command gets besides, such as the folder of its tools.",
    )
    clone: cloning.Method = Field(
        default="auto", description="auto: file by file where nobody is connected, else by dump and restore."
    )
    clone_on: str = Field(
        default="",
        max_length=60,
        description="Environment on whose database server the rehearsal is made; empty for the same server. What goes"
        " to one that is not production is masked before.",
    )
    proof_timeout: Duration = Field(
        default=timedelta(minutes=10),
        description="How long one look of the proof may take on the original, where the clone is masked.",
    )
    visitors_wait: Duration = Field(
        default=timedelta(milliseconds=500),
        description="How long a copy of files may keep new sessions of the original waiting; 0s for never.",
    )
    reversible_check: Command | None = Field(
        default=None, description="Prints each migration that cannot be reversed, one a line; nothing when all can."
    )
    reverse: Command | None = Field(
        default=None, description="Takes back on the clone what the migrate command applied; GONOGO_APPLIED lists it."
    )
    sql: Command | None = Field(
        default=None, description="Prints the SQL of the migration for squawk; Django's own is found without it."
    )
    longest_stall: Duration = Field(
        default=timedelta(seconds=10), description="How long a user may have to wait for a table."
    )
    longest: Duration = Field(default=timedelta(minutes=30), description="How long all migrations together may take.")
    rewrite_rows: int = Field(default=1_000_000, ge=0, description="A table with more rows may not be rewritten.")
    refuse_irreversible: bool = Field(
        default=True,
        description="Fail when a migration cannot be reversed, or nothing says whether it can, and the plan does not"
        " waive it.",
    )
    irreversible: dict[str, Reason] = Field(
        default={},
        description="What need not be reversible, with the reason: migration, table, table.column or object -> reason;"
        f" {limits.COMMAND!r} for all of a command of which nothing says whether it can be reversed.",
    )
    may_reach: list[str] = Field(
        default=[],
        max_length=50,
        description="Variables that lead to other PostgreSQL databases than the one that is cloned, which the commands"
        " may reach all the same; a migration there is an error.",
    )
    may_change_nothing: bool = Field(
        default=False,
        description="A command that is not Django's, or whose Django cannot be watched, may find nothing to do. Of"
        " Django's own it is seen whether a migration was left.",
    )
    compare_data: bool = Field(default=True, description="Prove that what no migration touched is the same afterwards.")
    scale_to: str = Field(
        default="",
        max_length=60,
        description="Environment whose table sizes the times are scaled to; empty for the one that is cloned.",
    )
    sample_every: Duration = Field(default=timedelta(milliseconds=10), description="How often locks are looked at.")
    lock_timeout: Duration = Field(
        default=timedelta(seconds=30), description="How long cloning waits for a table that somebody holds locked."
    )

    def limits(self) -> limits.Limits:
        return limits.Limits(
            self.longest_stall.total_seconds(),
            self.longest.total_seconds(),
            self.rewrite_rows,
            self.refuse_irreversible,
            self.irreversible,
        )
