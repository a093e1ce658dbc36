"""Each row as it would be written: inserted, or merged with what is there; for asking the target's rules beforehand."""

from collections.abc import Iterable, Sequence

from psycopg import sql

from checks.tools.transition.preflight import arriving
from checks.tools.transition.work import Action, TableWork, column, listed
from checks.tools.transition.writing import merged_value


def rows(
    work: TableWork, names: Sequence[str], terms: Iterable[sql.Composable] = (), where: sql.Composable | None = None
) -> sql.Composed:
    """A subquery with keys, action and ``terms`` of every row that would be written.

    ``terms`` and ``where`` are SQL over the target's columns ``names``, by their own names. Merged rows are among them
    where the merge writes one of these columns.
    """
    parts = [_inserted(work, names)]
    if set(names) & set(work.merged_columns()):
        parts.append(_merged(work, names))
    carried = [sql.SQL("gonogo_{0} AS {0}").format(sql.SQL(name)) for name in [*work.key_names, *work.target_key_names]]
    return sql.SQL("(SELECT {} FROM ({}) t{})").format(
        listed([*carried, sql.SQL("gonogo_action AS action"), *terms]),
        sql.SQL(" UNION ALL ").join(parts),
        sql.SQL(" WHERE {}").format(where) if where is not None else sql.SQL(""),
    )


def known(work: TableWork, names: Iterable[str]) -> bool:
    """Whether all of these columns are known beforehand: mapped, the key, or filled by the target with one value."""
    keys = {*work.mapping.keys_in_target, *work.filled}
    return all(name in keys or (name in work.columns and not work.columns[name].wrong) for name in names)


def _inserted(work: TableWork, names: Sequence[str]) -> sql.Composed:
    keys = dict(zip(work.mapping.keys_in_target, work.target_key_names, strict=True))

    def value(name: str) -> sql.Composable:
        if name in work.columns:
            return work.value(name)
        return work.filled[name] if name in work.filled else column("m", keys[name])

    values = [value(name) for name in names]
    return sql.SQL("SELECT {} FROM {}").format(_named(work, names, values), arriving(work, [Action.INSERT]))


def _merged(work: TableWork, names: Sequence[str]) -> sql.Composed:
    merged = work.merged_columns()
    values = [merged_value(work, name, "t") if name in merged else column("t", name) for name in names]
    return sql.SQL("SELECT {} FROM {} JOIN {} t ON {}").format(
        _named(work, names, values), arriving(work, [Action.MERGE]), work.target.identifier, work.at_target()
    )


def _named(work: TableWork, names: Sequence[str], values: Sequence[sql.Composable]) -> sql.Composable:
    """The columns under their own names, in their own types, though the key that one names may have another; keys and
    action beside them, under names that no table has."""
    own = [
        sql.SQL("({})::{} AS {}").format(value, sql.SQL(work.target.columns[name].stored), sql.Identifier(name))
        for name, value in zip(names, values, strict=True)
    ]
    carried = [
        sql.SQL("m.{0} AS gonogo_{0}").format(sql.SQL(name)) for name in [*work.key_names, *work.target_key_names]
    ]
    return listed([*own, *carried, sql.SQL("m.action AS gonogo_action")])
