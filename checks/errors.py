"""What a run can end with besides a verdict."""

from typing import Any


class CheckError(Exception):
    """The check broke, so it says nothing about the release. The run ends as errored."""

    def __init__(self, message: str, *, remedy: str = "", outcome: Any = None) -> None:
        """``outcome``: an Outcome with what was measured all the same; it is shown and kept, and counts for nothing."""
        self.message = message
        self.remedy = remedy
        self.outcome = outcome
        super().__init__(f"{message} {remedy}".strip())


class Cancelled(Exception):
    """Somebody asked the run to stop."""


class NothingSaid(CheckError):
    """There is nothing to look at that was not judged before. The run ends as cancelled: it says nothing at all, so
    what was said before stands.
    """


class Fenced(Exception):
    """Another attempt owns this run now; this process must stop at once and write nothing more."""


class PlanError(Exception):
    """The plan is not valid. ``problems``: list of (line, column, path, message), 1-based."""

    def __init__(self, problems: list[tuple[int, int, str, str]]) -> None:
        self.problems = problems
        super().__init__(
            "; ".join(f"line {line}, column {column}: {path}: {text}" for line, column, path, text in problems)
        )
