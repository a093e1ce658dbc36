"""What people should know of a table before its rows are moved: sentences that stop nothing."""

from collections.abc import Collection, Iterator

from checks.tools.transition import discretion, filling
from checks.tools.transition.work import TableWork


def notes(work: TableWork, triggers: str, free: Collection[str]) -> Iterator[str]:
    """``triggers``: the plan's word for what they do meanwhile. ``free``: columns that the plan lets them change."""
    yield from discretion.told(work)
    if work.target.row_security or work.source.row_security:
        yield f"{work.label} has row security; the role sees every row, or this would fail."
    if work.target.triggers:
        how = "are off meanwhile" if triggers == "off" else "fire"
        own = [trigger for trigger in work.target.triggers if not trigger.inherited]
        yield f"{work.label} has {len(own)} triggers, which {how}."
        untold = filling.untold(work, free) if triggers == "fire" else []
        if untold:
            yield (
                f"{work.label} fills {', '.join(untold)} by itself, with another value in each row: what triggers put"
                " there is not proven."
            )
    for name, one in work.columns.items():
        if (one.staged.base, one.column.stored_base) == ("json", "jsonb"):
            yield (
                f"{work.label}.{name} becomes jsonb: of several equal keys in one object the last one stays, and"
                " neither order nor spaces do."
            )
        if one.column.stored_base == "oid":
            yield f"{work.label}.{name} is an oid: where it names a large object, that object does not move."
