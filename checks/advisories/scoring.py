"""The base score of a CVSS vector of version 2, 3 or 4, and the worst that an advisory gives."""

from typing import Any, Final

from cvss import CVSS2, CVSS3, CVSS4, CVSSError

_READERS: Final = {"CVSS:4.0/": CVSS4, "CVSS:3.1/": CVSS3, "CVSS:3.0/": CVSS3, "AV:": CVSS2}
#: Lower bounds of the bands of CVSS 3 and 4.
_LEAST: Final = {"critical": 9.0, "high": 7.0, "medium": 4.0, "low": 0.0}


def base_score(vector: str) -> float | None:
    """0.0 to 10.0; None for a vector of another version, or one that is not whole."""
    reader = next((reader for prefix, reader in _READERS.items() if vector.startswith(prefix)), None)
    if reader is None:
        return None
    try:
        return float(reader(vector).base_score)
    except CVSSError:
        return None


def _vectors(document: dict[str, Any]) -> list[str]:
    ratings = [*(document.get("severity") or [])]
    for affected in document.get("affected") or []:
        ratings += affected.get("severity") or []
    return [str(each.get("score", "")) for each in ratings if isinstance(each, dict)]


def rated(document: dict[str, Any]) -> tuple[float | None, str]:
    """The worst base score that an OSV entry gives, and its reviewers' word; None and "" where there is none.

    Beside a vector that cannot be read, such as one of a version to come, a score says nothing when it is less than the
    word, or less than high where there is no word: the other vector may be graver.
    """
    vectors, word = _vectors(document), word_of(document)
    scores = [base_score(vector) for vector in vectors]
    worst = max((score for score in scores if score is not None), default=None)
    unread = any(score is None and vector.startswith("CVSS:") for vector, score in zip(vectors, scores, strict=True))
    if worst is not None and unread and worst < _LEAST.get(word, _LEAST["high"]):
        worst = None
    return worst, word


def word_of(document: dict[str, Any]) -> str:
    """What GitHub's reviewers call it: critical, high, medium or low; "" where they say nothing."""
    told = (document.get("database_specific") or {}).get("severity")
    word = str(told or "").lower()
    return {"moderate": "medium"}.get(word, word if word in ("critical", "high", "medium", "low") else "")
