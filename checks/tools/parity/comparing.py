"""Fact by fact: same, expected, drift, breaking or unknown. What is not known is never the same."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from checks.tools.parity import rules
from checks.tools.parity.addresses import names_content
from checks.tools.parity.facts import Area, Fact, Side, fits
from checks.tools.parity.states import Row, State

#: Facts that have to be known on both sides; where neither side says them, nobody has compared them.
STANDARD: Mapping[Area, tuple[str, ...]] = {
    Area.RUNTIME: ("interpreter", "system", "architecture"),
    Area.PROCESS: ("command", "workers", "cpus", "memory"),
}
#: Words that say nothing of such a fact; none at all says nothing only where the other side has none either.
_NOTHING = ("", "unknown")
_NONE = ("0", "0.0")
#: Of a package that both sides call the same.
_NO_CONTENT = (
    "it names neither a version nor a commit nor a checksum, so what is there may differ: print pip list --format json,"
    " which gives versions, install it from a commit or a file with its hash, or leave it out with a reason"
)
#: Areas in which nothing at all cannot be right.
_NEVER_EMPTY = (Area.SERVER, Area.SETTING, Area.COLLATION, Area.SCHEMA, Area.PACKAGE, Area.VARIABLE, Area.HTTP)


@dataclass(frozen=True)
class Expected:
    """A difference that the plan declares. ``here``, ``there``: only with these values, where they are given."""

    fact: str
    reason: str
    here: str | None = None
    there: str | None = None

    def excuses(self, row: Row) -> bool:
        if not fits(self.fact, row.area, row.name):
            return False
        pairs = ((self.here, row.here), (self.there, row.there))
        return all(wanted is None or wanted == (found.text if found else "") for wanted, found in pairs)


@dataclass(frozen=True)
class Volume:
    """``least``, ``most``: the share of the other side's rows; tables with fewer than ``from_rows`` are not judged."""

    least: float = 0.1
    most: float = 10.0
    from_rows: int = 1000


@dataclass(frozen=True)
class Policy:
    """What the plan says about differences. Patterns -> reasons; see ``facts.fits``."""

    expected: Sequence[Expected] = ()
    breaking: Sequence[str] = ()
    only_drift: Mapping[str, str] = field(default_factory=dict)
    leave_out: Mapping[str, str] = field(default_factory=dict)
    volume: Volume = Volume()
    #: Packages that the release's build installs, name -> version; none where nobody asked.
    brought: Mapping[str, str] | None = None
    #: Variables whose value has to be another one on each side: secrets, and addresses of databases.
    own_values: frozenset[str] = frozenset()

    def leaves_out(self, area: Area, name: str = "") -> bool:
        return any(fits(pattern, area, name) for pattern in self.leave_out)


def compare(here: Side, there: Side, policy: Policy) -> list[Row]:
    """Every fact of either side as one row; ``here`` is judged by how it mirrors ``there``."""
    rows: list[Row] = []
    for area in Area:
        if policy.leaves_out(area):
            continue
        rows += (row for row in _area(area, here, there, policy) if not policy.leaves_out(area, row.name))
    return [as_the_plan_says(row, policy) for row in rows]


def unseen(rows: Sequence[Row], policy: Policy) -> list[Expected]:
    """Expectations that excused nothing: the difference is gone, or is another than was declared."""
    excused = [row for row in rows if row.state is State.EXPECTED]
    return [entry for entry in policy.expected if not any(entry.excuses(row) for row in excused)]


def _area(area: Area, here: Side, there: Side, policy: Policy) -> Iterator[Row]:
    missed = [f"{side.environment}: {side.unknown[area, '']}" for side in (here, there) if (area, "") in side.unknown]
    if missed:
        yield Row(area, "", None, None, State.UNKNOWN, "; ".join(missed))
        return
    ours, theirs = here.facts.get(area, {}), there.facts.get(area, {})
    if area in _NEVER_EMPTY and not ours and not theirs:
        yield Row(area, "", None, None, State.UNKNOWN, "nothing was found on either side")
        return
    unsaid = {name: told for name in STANDARD.get(area, ()) if (told := _unsaid(area, name, here, there))}
    for name, silence in unsaid.items():
        yield Row(area, name, ours.get(name), theirs.get(name), State.UNKNOWN, silence)
    missing = {name for where, name in (*here.unknown, *there.unknown) if where is area}
    for name in sorted((ours.keys() | theirs.keys() | missing) - unsaid.keys()):
        why = [f"{side.environment}: {side.unknown[area, name]}" for side in (here, there)
               if (area, name) in side.unknown]  # fmt: skip
        if why:
            yield Row(area, name, ours.get(name), theirs.get(name), State.UNKNOWN, "; ".join(why))
        else:
            yield _row(area, name, ours.get(name), theirs.get(name), policy)
    if area is Area.PACKAGE and policy.brought is not None:
        for name in sorted(policy.brought.keys() - ours.keys() - theirs.keys()):
            yield Row(area, name, None, None, State.BREAKING, f"the build brings {policy.brought[name]}, nobody has it")


def _unsaid(area: Area, name: str, here: Side, there: Side) -> str:
    """Why a fact that has to be known is not, although nobody said so; '' where both say it."""
    if (area, name) in here.unknown or (area, name) in there.unknown:
        return ""
    words = {}
    for side in (here, there):
        fact = side.facts.get(area, {}).get(name)
        words[side.environment] = fact.value.strip().casefold() if fact else ""
    if all(word in (*_NOTHING, *_NONE) for word in words.values()):
        return "neither side says it"
    silent = [environment for environment, word in words.items() if word in _NOTHING]
    return f"{silent[0]} does not say it" if silent else ""


def _row(area: Area, name: str, here: Fact | None, there: Fact | None, policy: Policy) -> Row:
    if area is Area.PACKAGE and policy.brought is not None:
        return _package(name, here, there, policy.brought)
    if area is Area.PACKAGE and here and there and here.value == there.value and not names_content(here.value):
        return Row(area, name, here, there, State.UNKNOWN, _NO_CONTENT)
    if area is Area.ROWS:
        return _volume(name, here, there, policy)
    if area is Area.INTEGRATION:
        down = [fact for fact in (here, there) if fact is None or fact.value != rules.REACHABLE]
        return Row(area, name, here, there, State.BREAKING if down else State.SAME, "not reachable" if down else "")
    if area is Area.SECRET or (name in policy.own_values and area in (Area.VARIABLE, Area.PLAN_VARIABLE)):
        return _own(area, name, here, there)
    if area is Area.HTTP and name.endswith(" status") and _broken(here) and _broken(there):
        return Row(area, name, here, there, State.UNKNOWN, "both sides answer with an error of the server")
    if here is not None and there is not None and here.value == there.value:
        return Row(area, name, here, there, State.SAME)
    state, why = rules.judge(area, name, here, there)
    if here is not None and there is not None and (here.shown or there.shown):
        why = why or "another value"
    return Row(area, name, here, there, state, why)


def _broken(status: Fact | None) -> bool:
    return status is not None and int(status.value) >= 500


def _own(area: Area, name: str, here: Fact | None, there: Fact | None) -> Row:
    """Secrets and addresses of databases have to differ; one that is the same opens the other environment."""
    if here is None or there is None:
        return Row(area, name, here, there, State.DRIFT, "only one side has it")
    if here.value == there.value:
        return Row(area, name, here, there, State.DRIFT, "the same value in both environments")
    return Row(area, name, here, there, State.SAME, "each has its own")


def _package(name: str, here: Fact | None, there: Fact | None, brought: Mapping[str, str]) -> Row:
    """Where the build says what it installs, that decides; what production has now, the release replaces."""
    wanted, have = brought.get(name), here.value if here else None
    if have is not None and have == wanted:
        if not names_content(have):
            return Row(Area.PACKAGE, name, here, there, State.UNKNOWN, _NO_CONTENT)
        if there is not None and there.value == have:
            return Row(Area.PACKAGE, name, here, there, State.SAME)
        return Row(Area.PACKAGE, name, here, there, State.EXPECTED, "this release brings it")
    if have is None and wanted is None:
        return Row(Area.PACKAGE, name, here, there, State.EXPECTED, "this release no longer needs it")
    if have is None:
        return Row(Area.PACKAGE, name, here, there, State.BREAKING, f"the build brings {wanted}, and it is not here")
    if wanted is None:
        same = there is not None and there.value == have
        why = "the build does not bring it" + (", and both have it" if same else "")
        return Row(Area.PACKAGE, name, here, there, State.DRIFT, why)
    return Row(Area.PACKAGE, name, here, there, State.DRIFT, f"the build brings {wanted}")


def _volume(name: str, here: Fact | None, there: Fact | None, policy: Policy) -> Row:
    if here is None or there is None:
        # The schema says which side lacks the table, where anybody looks at it.
        state = State.DRIFT if policy.leaves_out(Area.SCHEMA, f"table {name}") else State.SAME
        return Row(Area.ROWS, name, here, there, state, "only one side has the table")
    volume = policy.volume
    ours, theirs = int(here.value), int(there.value)
    if max(ours, theirs) < volume.from_rows:
        return Row(Area.ROWS, name, here, there, State.SAME, "" if ours == theirs else "too few to matter")
    ratio = ours / theirs if theirs else float("inf")
    if volume.least <= ratio <= volume.most:
        return Row(Area.ROWS, name, here, there, State.SAME, f"{ratio:.0%} of it" if ours != theirs else "")
    share = "against none" if not theirs else f"{ratio:.2%} of it" if ratio < 1 else f"{ratio:,.0f} times as many"
    return Row(Area.ROWS, name, here, there, State.DRIFT, share)


def as_the_plan_says(row: Row, policy: Policy) -> Row:
    """A difference with what the plan says of it: expected, breaking, or only a drift."""
    if row.state not in (State.DRIFT, State.BREAKING):
        return row
    for entry in policy.expected:
        if entry.excuses(row):
            return Row(row.area, row.name, row.here, row.there, State.EXPECTED, entry.reason)
    if any(fits(pattern, row.area, row.name) for pattern in policy.breaking):
        return Row(row.area, row.name, row.here, row.there, State.BREAKING, row.why)
    for pattern, reason in policy.only_drift.items():
        if row.state is State.BREAKING and fits(pattern, row.area, row.name):
            why = f"{row.why}; only a drift: {reason}" if row.why else reason
            return Row(row.area, row.name, row.here, row.there, State.DRIFT, why)
    return row
