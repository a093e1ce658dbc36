"""What a report shows of the figures of columns: the least and the greatest birthday are two people's birthdays.

Every figure is compared, and whether both sides are equal is always told. Least, greatest and sum are shown of what
the plan's inventory lets a clone hold in clear, of lengths, and of keys, which the files of rows name anyhow. What the
plan says nothing about is not shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from checks.tools.inventory import PrivacySection
from checks.tools.transition.work import TableWork

#: They are of values; the number of nulls is not.
_OF_VALUES: Final = ("least", "greatest", "sum", "target_least", "target_greatest", "target_sum")


def columns(
    measured: Iterable[Mapping[str, Any]], works: Sequence[TableWork], section: PrivacySection
) -> list[dict[str, Any]]:
    """Rows of ``measuring.columns`` with their table, and whether they are ``shown``; what is not is left empty."""
    keys = {work.label: set(work.mapping.keys_in_target) for work in works}
    entries = section.by_column()
    found = []
    for row in measured:
        schema, _, table = row["table"].partition(".")
        entry = entries.get((schema, table, row["column"]))
        declared = entry.mask == "keep" if entry is not None else row["column"] in keys.get(row["table"], set())
        shown = row["of_lengths"] or declared
        hidden = {} if shown else dict.fromkeys(_OF_VALUES)
        found.append({**row, **hidden, "shown": shown})
    return found
