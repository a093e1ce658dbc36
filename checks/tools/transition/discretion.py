"""What a report shows of the figures of columns: the least and the greatest birthday are two people's birthdays.

Every figure is compared, and whether both sides are equal is always told. Least, greatest and sum are shown of what
the plan's inventory lets a clone hold in clear, of lengths, and of keys, which the files of rows name anyhow. Of what
the plan says nothing about only numbers are shown, and those only where no name tells of a person: neither the
column's, nor that of anything in the source from which it is made.

A key may be somebody's own value itself, such as an e-mail address. Then only its fingerprint is shown, by which
whoever may read the table finds the row.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from psycopg import sql

from checks.tools.inventory import PrivacySection
from checks.tools.personal_names import by_name
from checks.tools.transition.catalog import Shape
from checks.tools.transition.expression import names_in
from checks.tools.transition.work import TableWork, fingerprint

#: They are of values; the number of nulls is not.
_OF_VALUES: Final = ("least", "greatest", "sum", "target_least", "target_greatest", "target_sum")


def columns(
    measured: Iterable[Mapping[str, Any]], works: Sequence[TableWork], section: PrivacySection
) -> list[dict[str, Any]]:
    """Rows of ``measuring.columns`` with their table, and whether they are ``shown``; what is not is left empty."""
    keys = {work.label: _plain_keys(work) for work in works}
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


def _plain_keys(work: TableWork) -> set[str]:
    return {name for place, name in enumerate(work.mapping.keys_in_target, 1) if place not in work.veiled_in_target}


def veil(work: TableWork, section: PrivacySection) -> None:
    """Note the places in both keys whose values are people's own: as the plan's inventory says, else as a name tells.

    A value that goes over as it is is the same on both sides; where the target's key is another one, such as a new
    number, each side speaks for itself.
    """
    source: set[int] = set()
    target: set[int] = set()
    for place, (there, here) in enumerate(zip(work.mapping.key, work.mapping.keys_in_target, strict=True), 1):
        in_source, in_target = [(work.source, there)], [(work.target, here)]
        given = work.mapping.mapped.get(here)
        if given is not None and given.column == there:
            in_source = in_target = [*in_target, *in_source]
        source |= {place} if _own(in_source, section) else set()
        target |= {place} if _own(in_target, section) else set()
    work.veiled, work.veiled_in_target = frozenset(source), frozenset(target)


def _own(names: Sequence[tuple[Shape, str]], section: PrivacySection) -> bool:
    """Whether a column's values are people's own; ``names``: its tables and names, the first of which is looked up."""
    shape, name = names[0]
    entry = section.by_column().get((shape.schema, shape.name, name))
    if entry is not None:
        return entry.mask != "keep"
    return any(by_name(word, table.name) for table, word in names)


def told(work: TableWork) -> Iterator[str]:
    """How a row is found whose key is not shown."""
    both = enumerate(zip(work.mapping.key, work.mapping.keys_in_target, strict=True), 1)
    names = [there if place in work.veiled else here for place, (there, here) in both
             if place in work.veiled | work.veiled_in_target]  # fmt: skip
    if names:
        finding = fingerprint(sql.Identifier(names[0])).as_string()
        yield (
            f"Keys of {work.label} are people's own values ({', '.join(names)}), so their fingerprints are shown."
            f" Whoever may read the table finds a row by {finding}."
        )


def _of_nobody(work: TableWork, name: str) -> bool:
    """Whether no name tells of a person: the column's own, nor those in the source from which its values come."""
    source = work.columns[name].source
    told = [(name, work.target.name), *((one, work.source.name) for one in [source.column, *names_in(source.sql)])]
    return not any(by_name(word, table) for word, table in told if word)
