"""How a plan declares a transition: tables, keys, columns, and what to do with what is there already."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from checks.tools.transition.expression import check_expression

Name = Annotated[str, Field(min_length=1, max_length=63)]
TableName = Annotated[str, Field(pattern=r"^[^.]{1,63}(\.[^.]{1,63})?$")]
Expression = Annotated[str, Field(max_length=2000), AfterValidator(check_expression)]
MergeRule = Literal["source", "target", "greatest", "least", "fill"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnSource(_Part):
    """Where a target column comes from: exactly one of ``column``, ``sql`` and ``value``.

    ``references``: a table of the mapping whose rows this column names, where the target has no foreign key that says
    so; "-" takes the number as it stands although there is one.
    """

    column: str = Field(default="", max_length=63)
    sql: Annotated[str, Field(max_length=2000)] = ""
    value: bool | int | float | str | None = None
    references: str = ""

    @model_validator(mode="after")
    def one_origin(self) -> Self:
        given = [bool(self.column), bool(self.sql), self.value is not None]
        if sum(given) != 1:
            raise ValueError('give exactly one of column, sql and value (for NULL: sql: "NULL")')
        if self.sql:
            check_expression(self.sql)
        return self


def _short(value: Any) -> Any:
    """``email: email`` is short for ``email: {column: email}``."""
    return {"column": value} if isinstance(value, str) else value


class SkipRule(_Part):
    """Source rows for which ``when`` holds are left out, for ``reason``."""

    when: Expression
    reason: str = Field(min_length=3, max_length=200)


class TableMapping(_Part):
    """One table. Names of columns are the target's, except in ``key``, ``column`` and expressions.

    ``key``: the source's key; ``target_key``: the target's (the same names by default).
    ``keys``: "new" takes numbers from the target's sequence, "keep" takes the key as it is mapped.
    ``match``: target columns by which a row is known to be there already (the key with "keep", else nothing).
    ``new``, ``existing``: what becomes of a row that is not there, or is there. ``merge``: what a column of a merged
    row becomes; a column that is not named keeps what the target has.
    """

    table: TableName
    source_table: TableName | Literal[""] = ""
    key: list[Name] = Field(default=["id"], min_length=1, max_length=8)
    target_key: list[Name] = Field(default=[], max_length=8)
    keys: Literal["new", "keep"] = "new"
    same: list[Name] = Field(default=[], max_length=500)
    columns: dict[Name, Annotated[ColumnSource, BeforeValidator(_short)]] = Field(default={}, max_length=500)
    match: list[Name] = Field(default=[], max_length=8)
    ignoring: list[Literal["case", "nfc"]] = []
    new: Literal["insert", "skip", "stop"] = "insert"
    existing: Literal["merge", "skip", "stop"] = "stop"
    merge: dict[Name, MergeRule] = {}
    duplicates: Literal["first", "stop"] = "stop"
    orphans: Literal["skip", "stop"] = "stop"
    near: Literal["allow", "stop"] = "stop"
    skip: list[SkipRule] = Field(default=[], max_length=50)
    reason: str = Field(default="", max_length=200, description="Why rows are skipped by new or existing.")

    @model_validator(mode="after")
    def fits_together(self) -> Self:
        if self.target_key and len(self.target_key) != len(self.key):
            raise ValueError("target_key has as many columns as key")
        twice = sorted(set(self.same) & set(self.columns))
        if twice:
            raise ValueError(f"{twice[0]!r} stands in same and in columns")
        if self.keys == "new" and len(self.key) > 1:
            raise ValueError("keys: new needs a key of one column; say keys: keep")
        if self.keys == "new" and self.keys_in_target[0] in self.mapped:
            raise ValueError(f"{self.keys_in_target[0]!r} gets a new number; leave it out, or say keys: keep")
        for what, names in (("match", self.match), ("merge", list(self.merge))):
            unknown = [name for name in names if name not in self.mapped]
            if unknown:
                raise ValueError(f"{what} names {unknown[0]!r}, which is not among the mapped columns")
        if self.existing == "merge" and not self.matched_by:
            raise ValueError("existing: merge needs match: by what is a row known to be there?")
        return self

    @property
    def label(self) -> str:
        """'schema.table' in the target."""
        return self.table if "." in self.table else f"public.{self.table}"

    @property
    def source_label(self) -> str:
        name = self.source_table or self.table
        return name if "." in name else f"public.{name}"

    @property
    def keys_in_target(self) -> list[str]:
        return self.target_key or self.key

    @property
    def mapped(self) -> Mapping[str, ColumnSource]:
        """Target column -> where it comes from; with keys: keep the key columns too."""
        found = {name: ColumnSource(column=name) for name in self.same} | self.columns
        if self.keys == "keep":
            pairs = zip(self.keys_in_target, self.key, strict=True)
            found = {name: ColumnSource(column=source) for name, source in pairs if name not in found} | found
        return found

    @property
    def matched_by(self) -> list[str]:
        return self.match or (self.keys_in_target if self.keys == "keep" else [])


def digest(tables: Sequence[TableMapping]) -> str:
    """Of what the whole mapping does: not of its order, its reasons, nor of defaults that are written out."""
    return sha256(json.dumps(sorted(json.dumps(_done(table), sort_keys=True) for table in tables)).encode()).hexdigest()


def _done(table: TableMapping) -> dict[str, Any]:
    written_otherwise = {
        "table",
        "source_table",
        "target_key",
        "same",
        "columns",
        "match",
        "ignoring",
        "skip",
        "reason",
    }
    return table.model_dump(mode="json", exclude_defaults=True, exclude=written_otherwise) | {
        "tables": [table.label, table.source_label],
        "keys_in_target": table.keys_in_target,
        "mapped": {
            name: source.model_dump(mode="json", exclude_defaults=True) for name, source in table.mapped.items()
        },
        "matched_by": sorted(table.matched_by),
        "ignoring": sorted(table.ignoring),
        "skip": sorted(rule.when for rule in table.skip),
    }


def cross_check(tables: list[TableMapping]) -> None:
    """ValueError when two entries are about one table, or a reference names a table that is not moved."""
    labels = [table.label for table in tables]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(f"{twice[0]} is declared twice")
    short = {label.removeprefix("public.") for label in labels} | set(labels) | {"", "-"}
    for table in tables:
        for name, source in table.mapped.items():
            if source.references not in short:
                raise ValueError(f"{table.table}.{name} references {source.references!r}, which is not in the mapping")
