"""One package at one exact version, as lists of packages, advisories and bills of materials name it."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Component:
    """``hashes``: (algorithm as CycloneDX names it, hex digest) of files that are this version."""

    ecosystem: str
    name: str
    version: str
    hashes: tuple[tuple[str, str], ...] = ()

    @property
    def purl(self) -> str:
        if self.ecosystem == "npm":
            scope, _, name = self.name.rpartition("/")
            path = f"{quote(scope, safe='')}/{quote(name, safe='')}" if scope else quote(name, safe="")
            return f"pkg:npm/{path}@{quote(self.version, safe='')}"
        return f"pkg:pypi/{quote(self.name, safe='')}@{quote(self.version, safe='')}"
