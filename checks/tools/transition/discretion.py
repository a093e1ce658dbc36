"""What a report shows of the figures of columns: the least and the greatest birthday are two people's birthdays.

Every figure is compared, and whether both sides are equal is always told. Least, greatest and sum are shown of what
the plan's inventory lets a clone hold in clear, of lengths, and of keys, which the files of rows name anyhow. Of what
the plan says nothing about only numbers are shown, and those only where no name tells of a person: neither the
column's, nor that of anything in the source from which it is made.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from checks.tools.inventory import PrivacySection
from checks.tools.personal_names import by_name
from checks.tools.transition.expression import names_in
from checks.tools.transition.work import TableWork

#: They are of values; the number of nulls is not.
_OF_VALUES: Final = ("least", "greatest", "sum", "target_least", "target_greatest", "target_sum")


def columns(
    measured: Iterable[Mapping[str, Any]], works: Sequence[TableWork], section: PrivacySection
) -> list[dict[str, Any]]:
    """Rows of ``measuring.columns`` with their table, and whether they are ``shown``; what is not is left empty."""
    keys = {work.label: set(work.mapping.keys_in_target) for work in works}
    by_label = {work.label: work for work in works}
    entries = section.by_column()
    found = []
    for row in measured:
        schema, _, table = row["table"].partition(".")
        entry = entries.get((schema, table, row["column"]))
        if entry is not None:
            declared = entry.mask == "keep"
        else:
            key = row["column"] in keys.get(row["table"], set())
            declared = key or (row["of_numbers"] and _of_nobody(by_label[row["table"]], row["column"]))
        shown = row["of_lengths"] or declared
        hidden = {} if shown else dict.fromkeys(_OF_VALUES)
        found.append({**row, **hidden, "shown": shown})
    return found


def _of_nobody(work: TableWork, name: str) -> bool:
    """Whether no name tells of a person: the column's own, nor those in the source from which its values come."""
    source = work.columns[name].source
    told = [(name, work.target.name), *((one, work.source.name) for one in [source.column, *names_in(source.sql)])]
    return not any(by_name(word, table) for word, table in told if word)
