"""What the board says has happened: the ledger's entries, in words."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from releases.telling import _TELLERS, told

RUN = {"number": 8, "kind": "drill", "section": "checks.drill", "environment": "production"}
ENDED = {"state": "passed", "summary": "Restored in 4 s.", "error": ""}


@pytest.mark.parametrize(
    ("action", "document", "words"),
    [
        ("run.started", RUN, "Drill #8 started in production"),
        ("run.started", {**RUN, "retry_of": 5}, "Drill #8 started in production, again after #5"),
        ("run.ended", {**RUN, "after": ENDED}, "Drill #8 passed: Restored in 4 s."),
        (
            "run.ended",
            {**RUN, "after": {"state": "errored", "summary": "", "error": "No disk."}},
            "Drill #8 errored: No disk.",
        ),
        (
            "vote.cast",
            {"choice": "concern", "station": "engineering", "comment": "Slow."},
            "Engineering voted go, with concern: “Slow.”",
        ),
        ("release.went_live", {"after": {"state": "live"}}, "The release is live"),
        ("environment.build_running", {"environment": "staging", "after": {"version": "1.1"}}, "Staging runs 1.1"),
        ("evidence.recorded", {"summary": "Looked at it."}, "Looked at it."),
        ("environment.build_changing", {"environment": "staging", "run": 7}, "Run #7 is changing what runs in staging"),
        (
            "incident.opened",
            {"probe": "Home", "environment": "production", "reason": "status 500"},
            "“Home” in production is down: status 500",
        ),
        (
            "incident.closed",
            {"probe": "Home", "environment": "production", "why": ""},
            "“Home” in production is up again",
        ),
        ("secret.set", {"name": "database-url", "replaced": True}, "The secret database-url was replaced"),
        ("waiver.approved", {"item": "load-test", "reason": "x"}, "A waiver of load test was approved"),
        (
            "risk.opened",
            {"risk": "data-loss", "reason": "3 rows."},
            "The risk data loss stands at its worst: “3 rows.”",
        ),
        ("freeze.lifted", {}, "The change freeze was lifted"),
        (
            "member.added",
            {"name": "Nia", "role": "approver", "station": "release-management"},
            "Nia became approver for release management",
        ),
        ("member.removed", {"name": "Nia", "role": "viewer", "station": ""}, "Nia is no longer viewer"),
        ("user.invited", {"name": "Nia", "email": "nia@example.org"}, "Nia was invited at nia@example.org"),
        ("user.invited_again", {"name": "Nia"}, "Nia was invited again; older links ended"),
        ("user.accepted", {"name": "Nia"}, "Nia accepted and chose a password"),
        ("user.deactivated", {"name": "Nia", "reason": "Left."}, "Nia was deactivated: “Left.”"),
        ("user.renamed", {"before": "Nia", "name": "Nia Berg"}, "Nia is called Nia Berg now"),
        ("user.reactivated", {"name": "Nia"}, "Nia was reactivated"),
        ("application.created", {"name": "Shop"}, "The application Shop was made"),
        (
            "application.changed",
            {"before": {"plan_folder": "/a"}, "after": {"plan_folder": "/b"}},
            "Changed plan folder from “/a” to “/b”",
        ),
    ],
)
def test_an_entry_is_told_in_words(action: str, document: dict[str, Any], words: str) -> None:
    assert told(action, document) == words


@pytest.mark.parametrize("action", ["run.started", "run.ended", "vote.cast", "release.went_live"])
def test_an_entry_that_lacks_what_the_words_need_is_told_by_its_name(action: str) -> None:
    assert told(action, {"after": {"state": "of another time"}}).lower() == action.replace(".", " ").replace("_", " ")


ROOT = Path(__file__).parents[2]


def written_actions() -> set[str]:
    """Each action that the program's source writes into the ledger."""
    writers = {"_tell", "tell", "_write", "_set", "_fell", "append", "move"}
    found = set()
    for path in (file for app in ("releases", "checks", "monitoring") for file in (ROOT / app).rglob("*.py")):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            values = [each.value for each in call.keywords if each.arg == "action"]
            values += call.args if name in writers else []
            texts = (each.value for each in values if isinstance(each, ast.Constant) and isinstance(each.value, str))
            found.update(text for text in texts if re.fullmatch(r"[a-z_]+\.[a-z_]+", text))
    return found


def test_every_action_has_words_of_its_own() -> None:
    written = written_actions()
    assert {"run.started", "incident.closed", "secret.set", "environment.build_changing"} <= written
    assert sorted(written - set(_TELLERS)) == []
