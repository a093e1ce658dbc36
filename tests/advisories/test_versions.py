"""Which versions an advisory is about."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from checks.advisories.scoring import base_score, word_of
from checks.advisories.versions import NoVersion, affects, semver


def ranged(*events: tuple[str, str], kind: str = "ECOSYSTEM") -> dict[str, Any]:
    return {"ranges": [{"type": kind, "events": [{name: value} for name, value in events]}]}


BRANCHES = ranged(("introduced", "5.0"), ("fixed", "5.0.8"), ("introduced", "4.2"), ("fixed", "4.2.15"))


@pytest.mark.parametrize(
    ("affected", "hit", "missed"),
    [
        (BRANCHES, ["4.2", "4.2.14", "5.0", "5.0.7", "5.0.8rc1"], ["4.1.9", "4.2.15", "4.3", "5.0.8", "5.1", "5.0a1"]),
        (ranged(("introduced", "0"), ("fixed", "1.10")), ["0.1", "1.9", "1.10.dev1"], ["1.10", "1.10.0", "2!0.1"]),
        (ranged(("introduced", "1.0"), ("last_affected", "1.5")), ["1.0", "1.5", "1.5.0", "1.5+cu118"],
         ["1.5.1", "0.9"]),
        (ranged(("introduced", "1.0")), ["1.0", "99"], ["0.9"]),
        (ranged(("fixed", "2.0"), ("introduced", "0")), ["1.0"], ["2.0"]),
        (ranged(("introduced", "0"), ("limit", "2.0")), ["1.0"], ["2.0"]),
        (ranged(("introduced", "0"), ("fixed", "2019-xx")), ["1.0", "99"], []),  # an end nobody can read is none
        ({"versions": ["1.0", "1.1"]}, ["1.0", "1.0.0", "1.1+ubuntu1"], ["1.2"]),
        ({"versions": ["9.9"], **BRANCHES}, ["9.9", "4.2"], ["9.8"]),
        ({}, ["1.0"], []),
        ({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, ["1.0"], []),
        ({"versions": ["1.0"], "ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, ["1.0"], ["2.0"]),
    ],
)  # fmt: skip
def test_versions_of_python_packages(affected: dict[str, Any], hit: list[str], missed: list[str]) -> None:
    assert [version for version in hit + missed if affects(affected, version, "PyPI")] == hit


def test_versions_of_npm_packages() -> None:
    bounds = ranged(("introduced", "1.0.0-beta.2"), ("fixed", "1.2.0"), kind="SEMVER")
    hit, missed = (
        ["1.0.0-beta.2", "1.0.0-beta.11", "1.0.0", "1.2.0-rc.1", "1.1.9+build"],
        ["1.0.0-beta.1", "1.2.0", "1.0.0-alpha"],
    )
    assert [version for version in hit + missed if affects(bounds, version, "npm")] == hit
    order = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
             "1.0.0-rc.1", "1.0.0"]  # fmt: skip
    assert sorted(set(order), key=semver) == order
    for text in ("x", "1.0.0.0"):
        with pytest.raises(NoVersion):
            affects(bounds, text, "npm")


_version = st.builds(lambda a, b, c: f"{a}.{b}{c}", st.integers(0, 3), st.integers(0, 3),
                     st.sampled_from(["", "a1", "rc1", ".post1", ".dev1"]))  # fmt: skip


@given(st.lists(_version, min_size=2, max_size=6, unique_by=Version), _version, st.randoms())
def test_the_order_of_events_does_not_matter_and_branches_are_kept_apart(
    bounds: list[str], version: str, random: Any
) -> None:
    """Compared with asking each pair of neighbours by itself."""
    bounds = sorted(bounds, key=Version)
    bounds = bounds[: len(bounds) // 2 * 2]
    pairs = list(zip(bounds[::2], bounds[1::2], strict=True))
    events = [event for low, high in pairs for event in (("introduced", low), ("fixed", high))]
    random.shuffle(events)
    expected = any(Version(low) <= Version(version) < Version(high) for low, high in pairs)
    assert affects(ranged(*events), version, "PyPI") is expected


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.0/AV:L/AC:H/PR:L/UI:R/S:U/C:L/I:L/A:L", 4.2),
        ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 9.9),
        ("CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", 1.6),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 9.3),
        ("CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:L/VI:L/VA:N/SC:N/SI:N/SA:N", 2.0),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N", 0.0),
        ("AV:N/AC:L/Au:N/C:P/I:P/A:P", 7.5),
        ("CVSS:4.0/AV:N", None),
        ("CVSS:5.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", None),
        ("CVSS:3.1/AV:N", None),
        ("nonsense", None),
    ],
)
def test_scores_are_those_of_the_specification(vector: str, score: float | None) -> None:
    assert base_score(vector) == score


def test_the_word_of_a_reviewer_is_one_of_ours() -> None:
    said = [word_of({"database_specific": {"severity": word}}) for word in ("MODERATE", "HIGH", "odd", None)]
    assert said == ["medium", "high", "", ""]
