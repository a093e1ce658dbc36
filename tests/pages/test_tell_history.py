"""What the board says has happened: the ledger's entries, in words."""

from typing import Any

import pytest

from releases.telling import told

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
        ("freeze.lifted", {}, "Freeze lifted"),
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
