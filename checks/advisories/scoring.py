"""The base score of a CVSS vector of version 2, 3 or 4, and the worst that an advisory gives."""

from typing import Any, Final

from cvss import CVSS2, CVSS3, CVSS4, CVSSError

_READERS: Final = {"CVSS:4.0/": CVSS4, "CVSS:3.1/": CVSS3, "CVSS:3.0/": CVSS3, "AV:": CVSS2}
#: Lower bounds of the bands of CVSS 3 and 4.
_LEAST: Final = {"critical": 9.0, "high": 7.0, "medium": 4.0, "low": 0.0}


def base_score(vector: str) -> float | None:
    """0.0 to 10.0; None for a vector of another version, or one that is not whole."""
    vector = vector.strip("() ")
    reader = next((reader for prefix, reader in _READERS.items() if vector.startswith(prefix)), None)
    if reader is None:
        return None
    try:
        return float(reader(vector).base_score)
    except CVSSError:
        return None


def rated(*documents: dict[str, Any]) -> tuple[float | None, str]:
    """The worst base score that OSV entries about one vulnerability give, and the gravest word of their reviewers; None
    and "" where there is none.

    Beside an entry or a vector that tells no score that can be read, a score says nothing when it is less than the
    word, or less than high where there is no word: what was not read may be graver.
    """
    scores: list[float] = []
    unread = False
    for document in documents:
        vectors = _vectors(document)
        found = [score for vector in vectors if (score := base_score(vector)) is not None]
        scores += found
        unread = unread or len(found) < len(vectors) or bool(word_of(document) and not found)
    word = next((word for word in _LEAST if word in map(word_of, documents)), "")
    worst = max(scores, default=None)
    if worst is not None and unread and worst < _LEAST.get(word, _LEAST["high"]):
        worst = None
    return worst, word


def says_nothing(*documents: dict[str, Any]) -> bool:
    """Whether nobody has rated it in any of these entries."""
    return not any(_vectors(document) or word_of(document) for document in documents)


def _vectors(document: dict[str, Any]) -> list[str]:
    ratings = [*(document.get("severity") or [])]
    for affected in document.get("affected") or []:
        ratings += affected.get("severity") or []
    said = [str(each.get("score", "")) for each in ratings if isinstance(each, dict)]
    # Other ratings than those of CVSS, such as Ubuntu's word, are no vectors.
    return [one for one in said if one.strip("() ").startswith(("CVSS:", "AV:"))]


def word_of(document: dict[str, Any]) -> str:
    """What GitHub's reviewers call it: critical, high, medium or low; "" where they say nothing."""
    told = (document.get("database_specific") or {}).get("severity")
    word = str(told or "").lower()
    return {"moderate": "medium"}.get(word, word if word in ("critical", "high", "medium", "low") else "")
