"""What may differ without being a difference: normalisers, declared column by column in the mode `equivalent`."""

import re
from collections.abc import Callable, Mapping, Sequence

from psycopg import sql
from psycopg.sql import SQL, Composable

from checks.errors import CheckError

# Outside of strings, a number loses the zeros at its end; jsonb prints numbers without exponents.
_JSON_ZEROS = r"""("(?:[^"\\]|\\.)*")|(\.[0-9]*[1-9])0+(?![0-9])|\.0+(?![0-9])"""

_PLAIN: Mapping[str, tuple[str, Callable[[Composable], Composable]]] = {
    "text": ("as text", lambda x: SQL("({})::text").format(x)),
    "trim": ("without white space at both ends",
             lambda x: SQL("btrim(({})::text, E' \\t\\r\\n\\f')").format(x)),
    "lower": ("in small letters", lambda x: SQL("lower(({})::text)").format(x)),
    "nfc": ("in Unicode's composed form", lambda x: SQL("normalize(({})::text, NFC)").format(x)),
    "empty_is_null": ("an empty text is none", lambda x: SQL("NULLIF(({})::text, '')").format(x)),
    "number": ("as a number, 1.50 like 1.5", lambda x: SQL("trim_scale(({})::text::numeric)::text").format(x)),
    "boolean": ("as yes or no", lambda x: SQL("({})::text::boolean::text").format(x)),
    "seconds": ("to the second", lambda x: SQL("date_trunc('second', {})::text").format(x)),
    "milliseconds": ("to the millisecond", lambda x: SQL("date_trunc('milliseconds', {})::text").format(x)),
    "utc": ("a time without zone is UTC", lambda x: SQL("({})::timestamptz::text").format(x)),
    "json": ("as jsonb, the order of keys and spaces aside", lambda x: SQL("({})::text::jsonb::text").format(x)),
    "json_numbers": ("as json, and 1.0 like 1", lambda x: SQL("regexp_replace(({})::text::jsonb::text, {}, {}, 'g')")
                     .format(x, sql.Literal(_JSON_ZEROS), sql.Literal(r"\1\2"))),
    "set": ("an array, the order of its elements aside",
            lambda x: SQL("CASE WHEN {0} IS NOT NULL THEN COALESCE((SELECT array_agg(e::text ORDER BY e::text COLLATE"
                          " \"C\") FROM unnest({0}) AS e)::text, '{{}}') END").format(x)),
    "presence": ("only whether there is a value", lambda x: SQL("({} IS NOT NULL)::text").format(x)),
}  # fmt: skip
_ROUND = re.compile(r"round:(\d{1,3})")


def names() -> list[str]:
    return [*sorted(_PLAIN), "round:N"]


def refuse_unknown(given: Sequence[str]) -> None:
    """ValueError names the normalisers that there are."""
    for name in given:
        if name not in _PLAIN and not _ROUND.fullmatch(name):
            raise ValueError(f"there is no normaliser {name!r}; there are: {', '.join(names())}")


def normalised(expression: Composable, given: Sequence[str]) -> Composable:
    """SQL of the value after all normalisers, in their order; its type is text."""
    for name in given:
        rounded = _ROUND.fullmatch(name)
        if rounded:
            expression = SQL("trim_scale(round(({})::text::numeric, {}))::text").format(
                expression, sql.Literal(int(rounded[1]))
            )
        elif name in _PLAIN:
            expression = _PLAIN[name][1](expression)
        else:
            raise CheckError(f"There is no normaliser {name!r}.", remedy=f"There are: {', '.join(names())}.")
    return expression


def described(given: Sequence[str]) -> str:
    """'trim, lower' in words."""
    return ", ".join(_PLAIN[name][0] if name in _PLAIN else f"rounded to {name[6:]} places" for name in given)
