"""The plan's inventory of personal data: each column, what it is, why it may be kept, and how a clone masks it."""

import re
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: table.column or schema.table.column; a part that is no plain word is written in double quotes.
_PART = r'(?:[A-Za-z_][A-Za-z0-9_$]*|"[^"]+")'
ColumnName = Annotated[str, Field(pattern=rf"^(?:{_PART}\.)?{_PART}\.{_PART}$", max_length=200)]
#: A path of keys inside a JSON document, such as contact.email; "*" stands for any key.
JsonPath = Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+)*$", max_length=200)]


class Category(StrEnum):
    """What kind of personal data a column holds; ``not_personal`` for one that only looks like it."""

    IDENTITY = "identity"
    CONTACT = "contact"
    CREDENTIAL = "credential"
    LOCATION = "location"
    ONLINE = "online"
    FINANCIAL = "financial"
    CONTENT = "content"
    PREFERENCE = "preference"
    SPECIAL = "special"
    NOT_PERSONAL = "not_personal"


class Basis(StrEnum):
    """Lawful basis, in the words of article 6 of the GDPR."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGAL_OBLIGATION = "legal_obligation"
    VITAL_INTERESTS = "vital_interests"
    PUBLIC_TASK = "public_task"
    LEGITIMATE_INTERESTS = "legitimate_interests"


Mask = Literal[
    "keep", "email", "name", "given_name", "family_name", "username", "phone", "shape", "text", "token", "password",
    "ip", "date", "json", "null", "delete_rows",
]  # fmt: skip


class InventoryEntry(BaseModel):
    """Columns that are classified alike. ``mask: keep`` and ``not_personal`` need a ``why``.

    ``json_keys``: for mask json, path -> mask of that value; every other text in the document is replaced as free text.
    ``may_be_missing``: for columns that the release adds or removes, so that the inventory fits before and after it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: list[ColumnName] = Field(min_length=1, max_length=200)
    category: Category
    basis: Basis | None = None
    retention: str = Field(default="", max_length=300)
    mask: Mask = "keep"
    why: str = Field(default="", max_length=500)
    json_keys: dict[JsonPath, Mask] = {}
    may_be_missing: bool = False

    @model_validator(mode="after")
    def is_whole(self) -> Self:
        if self.category is Category.NOT_PERSONAL:
            if not self.why.strip():
                raise ValueError("not_personal needs a why: what the column holds instead")
            if self.mask != "keep":
                raise ValueError("what is not personal is not masked; leave mask out, or give the right category")
            return self
        if self.basis is None:
            raise ValueError("personal data needs a basis: consent, contract, legal_obligation, …")
        if not self.retention.strip():
            raise ValueError("personal data needs a retention: how long it is kept, in words")
        if self.mask == "keep" and not self.why.strip():
            raise ValueError("mask: keep needs a why: the reason for which a clone may hold this in clear")
        if self.json_keys and self.mask != "json":
            raise ValueError("json_keys go with mask: json")
        bad = sorted({mask for mask in self.json_keys.values() if mask in ("json", "delete_rows")})
        if bad:
            raise ValueError(f"{', '.join(bad)} cannot be the mask of one value inside of a document")
        return self


class PrivacySection(BaseModel):
    """``date_window``: dates move by 1 to so many days. ``pseudonym_key``: name of a secret; without it each clone has
    a key of its own that is thrown away, and a person's pseudonym differs from clone to clone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    inventory: list[InventoryEntry] = Field(default=[], max_length=2000)
    date_window: int = Field(default=30, ge=1, le=3650)
    pseudonym_key: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9_-]{0,59})?$")] = ""

    @model_validator(mode="after")
    def says_each_column_once(self) -> Self:
        seen: set[tuple[str, str, str]] = set()
        for entry in self.inventory:
            for name in entry.columns:
                parts = split(name)
                if parts in seen:
                    raise ValueError(f"{name} is classified twice")
                seen.add(parts)
        return self

    def by_column(self) -> dict[tuple[str, str, str], InventoryEntry]:
        """(schema, table, column) -> its entry; the schema is ``public`` where the plan leaves it out."""
        return {split(name): entry for entry in self.inventory for name in entry.columns}


def split(name: str) -> tuple[str, str, str]:
    """'person.email' -> ('public', 'person', 'email')."""
    parts = [part.strip('"') for part in re.findall(_PART, name)]
    schema, table, column = ["public", *parts][-3:]
    return schema, table, column
