"""Coverage from Cobertura XML, read as a stream. Lines are counted here, and compared with what it declares."""

import heapq
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import IO, Any, Final
from xml.sax import SAXException
from xml.sax.handler import ContentHandler, feature_external_ges, feature_external_pes
from xml.sax.xmlreader import AttributesImpl

from defusedxml import DefusedXmlException
from defusedxml.expatreader import create_parser

from checks.errors import CheckError

MAX_BYTES: Final = 1_000_000_000
MAX_LEAST: Final = 10
MAX_NAME: Final = 300
_READ_BYTES: Final = 64 * 1024


@dataclass
class Coverage:
    """Lines that were run, of those that could be. ``least``: (share, lines, file), the least covered files first."""

    covered: int = 0
    lines: int = 0
    files: int = 0
    least: list[tuple[float, int, str]] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.covered / self.lines

    def as_json(self) -> dict[str, Any]:
        return {
            "covered": self.covered,
            "lines": self.lines,
            "files": self.files,
            "share": round(self.share, 4),
            "least": [{"share": round(share, 4), "lines": lines, "file": name} for share, lines, name in self.least],
        }


def read_coverage(sources: Iterable[tuple[str, IO[bytes]]]) -> Coverage:
    """Files of Cobertura XML -> what they say together. CheckError where one is not whole, or holds no line."""
    coverage = Coverage()
    for name, source in sources:
        _read_one(name, source, coverage)
    if not coverage.lines:
        raise CheckError("The coverage file holds no line.", remedy="Look whether the tests measured anything.")
    # Worst first; the heap held the negative share so that the best of the kept ones was the first to go.
    coverage.least = sorted((-share, lines, name) for share, lines, name in coverage.least)
    return coverage


def _read_one(name: str, source: IO[bytes], coverage: Coverage) -> None:
    # Real files name their DTD, so a document type is let through; entities and anything to be fetched are not.
    parser = create_parser(forbid_dtd=False, forbid_entities=True, forbid_external=False)
    parser.setFeature(feature_external_ges, False)
    parser.setFeature(feature_external_pes, False)
    handler = _Handler(name, coverage)
    parser.setContentHandler(handler)
    size = 0
    try:
        while piece := source.read(_READ_BYTES):
            size += len(piece)
            if size > MAX_BYTES:
                raise CheckError(f"The coverage file {name} is larger than {MAX_BYTES:,} bytes.")
            parser.feed(piece)
        if not size:
            raise CheckError(f"The coverage file {name} is empty.", remedy="Look in the log why nothing was written.")
        parser.close()
    except DefusedXmlException as error:
        raise CheckError(
            f"The coverage file {name} was refused: it declares entities ({type(error).__name__})."
        ) from None
    except SAXException as error:
        raise CheckError(
            f"The coverage file {name} is not whole XML: {' '.join(str(error).split())[:300]}.",
            remedy="What measured it probably ended before it had written everything.",
        ) from None
    if handler.declared is not None and handler.declared > handler.lines:
        raise CheckError(f"{name} declares {handler.declared:,} lines and contains {handler.lines:,}.")


class _Handler(ContentHandler):
    """Counts the lines of classes; those of methods are the same lines once more."""

    def __init__(self, file: str, coverage: Coverage) -> None:
        super().__init__()
        self.file, self.coverage = file, coverage
        self.depth = 0
        self.declared: int | None = None
        self.lines = 0
        self.name = ""
        self.inside_methods = 0
        self.own = [0, 0]

    def startElement(self, name: str, attributes: AttributesImpl) -> None:  # noqa: N802 - the interface's name
        self.depth += 1
        if self.depth == 1 and name != "coverage":
            raise CheckError(
                f"{self.file} is XML but not Cobertura: it begins with <{name[:60]}>.",
                remedy="Let coverage be written as Cobertura XML (for Python: coverage xml).",
            )
        if name == "coverage":
            if "lines-valid" in attributes:
                self.declared = self._number("lines-valid", attributes["lines-valid"])
        elif name == "class":
            self.name = attributes.get("filename", "") or attributes.get("name", "")
            self.own = [0, 0]
        elif name == "methods":
            self.inside_methods += 1
        elif name == "line" and not self.inside_methods:
            self.own[1] += 1
            self.own[0] += self._number("hits", attributes.get("hits", "0")) > 0

    def _number(self, what: str, text: str) -> int:
        """What cannot be read is neither covered nor uncovered: somebody wrote what is no count of anything."""
        if not re.fullmatch(r"\s*[0-9]{1,18}\s*", text):
            raise CheckError(f"{self.file} says {what}={text[:40]!r}, which is no number of anything.")
        return int(text)

    def endElement(self, name: str) -> None:  # noqa: N802 - the interface's name
        self.depth -= 1
        if name == "methods":
            self.inside_methods -= 1
        elif name == "class":
            covered, lines = self.own
            self.lines += lines
            self.coverage.covered += covered
            self.coverage.lines += lines
            self.coverage.files += 1
            if lines:
                self._keep((-(covered / lines), lines, self.name[-MAX_NAME:]))

    def _keep(self, entry: tuple[float, int, str]) -> None:
        if len(self.coverage.least) < MAX_LEAST:
            heapq.heappush(self.coverage.least, entry)
        else:
            heapq.heappushpop(self.coverage.least, entry)
