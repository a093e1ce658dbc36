"""The base score of a CVSS 3 vector, as FIRST's specification of CVSS 3.1 computes it (section 7.1 and appendix A)."""

from typing import Any, Final

_WEIGHTS: Final[dict[str, dict[str, float]]] = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PRIVILEGES: Final = {"U": {"N": 0.85, "L": 0.62, "H": 0.27}, "C": {"N": 0.85, "L": 0.68, "H": 0.5}}


#: Lower bounds of the bands of CVSS 3.
_LEAST: Final = {"critical": 9.0, "high": 7.0, "medium": 4.0, "low": 0.0}


def base_score(vector: str) -> float | None:
    """0.0 to 10.0; None for a vector of another version, or one that is not whole."""
    if not vector.startswith(("CVSS:3.0/", "CVSS:3.1/")):
        return None
    parts = dict(part.split(":", 1) for part in vector.split("/")[1:] if ":" in part)
    try:
        weight = {name: values[parts[name]] for name, values in _WEIGHTS.items()}
        changed = {"U": False, "C": True}[parts["S"]]
        privileges = _PRIVILEGES[parts["S"]][parts["PR"]]
    except KeyError:
        return None
    lost = 1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"])
    impact = 7.52 * (lost - 0.029) - 3.25 * (lost - 0.02) ** 15 if changed else 6.42 * lost
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * weight["AV"] * weight["AC"] * privileges * weight["UI"]
    return _up(min((1.08 if changed else 1) * (impact + exploitability), 10))


def _up(value: float) -> float:
    """To the next tenth, without the noise of floating point (appendix A)."""
    whole = round(value * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (whole // 10_000 + 1) / 10


def _vectors(document: dict[str, Any]) -> list[str]:
    ratings = [*(document.get("severity") or [])]
    for affected in document.get("affected") or []:
        ratings += affected.get("severity") or []
    return [str(each.get("score", "")) for each in ratings if isinstance(each, dict)]


def rated(document: dict[str, Any]) -> tuple[float | None, str]:
    """The worst base score that an OSV entry gives, and its reviewers' word; None and "" where there is none.

    Beside a vector that is not read here, such as one of CVSS 4, a score says nothing when it is less than the word, or
    less than high where there is no word: the other vector may be graver.
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
