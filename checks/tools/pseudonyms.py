"""Pseudonyms as SQL: temporary functions of one session, keyed by HMAC-SHA-256, gone when the session ends.

The same input gives the same output in every table, so joins hold; what was unique stays unique; null and '' stay what
they are. Addresses end in ``masked.invalid``, a domain that no mail reaches (RFC 2606); names are invented; telephone
numbers begin with 999, which is no country's code; IP addresses are of the ranges for benchmarks and documentation.
"""

import json
from typing import Final, LiteralString, get_args

from psycopg import sql

from checks.errors import CheckError
from checks.tools import column_texts, document_keys, small_numbers
from checks.tools.column_facts import Column, Shape
from checks.tools.inventory import InventoryEntry, Mask
from checks.tools.personal_names import NUMBER_NAME
from checks.tools.postgres import Connection

DOMAIN: Final = "masked.invalid"
KEY_BYTES: Final = 32
#: How the notices of ``pg_temp.seen`` begin, which is called once for each row that is masked.
ROWS: Final = "gonogo rows"
#: What a mask needs room for where a column has a limit.
_ROOM: Final = {"email": 32, "password": 16}
_GIVEN: Final = (
    "Alvena Brisko Calyth Dorvin Elswyn Farrun Gelmir Haldria Ilvano Jorwen Kestrin Lumara Merrok Nyvela Orsilo Pellwyn"
    " Quorra Ristan Selvie Torvan Ulmeth Vaskin Wrenlo Xandry Yolvar Zemira Astrev Belquin Corlys Dravine Emmorin"
    " Fynwick"
)
_FAMILY: Final = (
    "Abberwold Brackenmoor Candlewright Dunmarrow Elderquist Fennimarsh Gorsewick Hollowbeck Inglethorn Jasperling"
    " Kettlemoss Larkenfeld Mossgrave Netherbourn Oakenshade Pebblewyn Quillmarsh Ravenstoke Silverholt Thistlegate"
    " Underbough Velvetarn Willowmere Yarrowfield Zephyrstone Amberhythe Bristlecote Copperdene Drizzlewood Embercroft"
    " Frostwhistle Gladepool Hawkenridge Ivymantle Juniperhay Kindlebrook Lanternhill Mistlevale Nettlecombe Otterwick"
)
_SHAPES: Final[dict[str, tuple[Shape, ...]]] = {
    **dict.fromkeys(
        ("email", "name", "given_name", "family_name", "username", "text", "token", "password"), ("text", "array")
    ),
    "phone": ("text", "array", "number"),
    "shape": ("text", "array", "number"),
    "ip": ("text", "inet"),
    "date": ("date", "time"),
    "json": ("json",),
}

# A function of one expression, without STRICT, is put into the statement that calls it, as long as what it is given
# and names twice is a column; one that needs what it computed twice is PL/pgSQL. A call of any other costs as much as a
# small query, which a million rows feel.
_FUNCTIONS: Final[LiteralString] = r"""
CREATE TEMPORARY TABLE gonogo_phone (value text PRIMARY KEY, masked text);
CREATE TEMPORARY TABLE gonogo_key (value text PRIMARY KEY, masked text);
CREATE TEMPORARY SEQUENCE gonogo_rows;
CREATE FUNCTION pg_temp.seen() RETURNS boolean LANGUAGE plpgsql VOLATILE COST 100000 AS $$
DECLARE rows bigint := nextval('pg_temp.gonogo_rows');
BEGIN
    IF rows % 5000 = 0 THEN RAISE NOTICE 'gonogo rows: %', rows; END IF;
    RETURN true;
END $$;
CREATE FUNCTION pg_temp.mac(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT encode(sha256(decode(current_setting('gonogo.outer'), 'hex')
        || sha256(decode(current_setting('gonogo.inner'), 'hex') || convert_to(v, 'UTF8'))), 'hex') $$;
CREATE FUNCTION pg_temp.letters(v text, n integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT translate(left(pg_temp.mac(v), n), '0123456789abcdef', 'abcdefghijklmnop') $$;
CREATE FUNCTION pg_temp.dice(v text, n integer) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT (('x' || left(pg_temp.mac(v), 12))::bit(48)::bigint % n)::integer $$;
CREATE FUNCTION pg_temp.cased_email(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT string_agg(CASE WHEN o = 1 OR get_bit(decode(pg_temp.mac('case:' || v), 'hex'), o::integer) = 1
                           THEN upper(c) ELSE c END, '' ORDER BY o) || '@masked.invalid'
    FROM regexp_split_to_table(pg_temp.letters('email:' || lower(v), 16), '') WITH ORDINALITY AS s(c, o) $$;
CREATE FUNCTION pg_temp.one_email(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN v = lower(v) THEN pg_temp.letters('email:' || v, 16) || '@masked.invalid'
        ELSE pg_temp.cased_email(v) END $$;
CREATE FUNCTION pg_temp.emails(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT string_agg(pg_temp.one_email(btrim(p)), ',' ORDER BY o)
    FROM regexp_split_to_table(v, '\s*[,;]\s*') WITH ORDINALITY AS s(p, o) WHERE btrim(p) <> '' $$;
CREATE FUNCTION pg_temp.email(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN v = '' THEN v WHEN strpos(v, ',') + strpos(v, ';') = 0 THEN pg_temp.one_email(btrim(v))
        ELSE pg_temp.emails(v) END $$;
CREATE FUNCTION pg_temp.given_name(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN v = '' THEN v ELSE split_part(current_setting('gonogo.given'), ' ',
        1 + pg_temp.dice('given:' || v, current_setting('gonogo.givens')::integer)) END $$;
CREATE FUNCTION pg_temp.family_name(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN v = '' THEN v ELSE split_part(current_setting('gonogo.family'), ' ',
        1 + pg_temp.dice('family:' || v, current_setting('gonogo.families')::integer)) END $$;
CREATE FUNCTION pg_temp.name(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN v = '' THEN v ELSE pg_temp.given_name(v) || ' ' || pg_temp.family_name(v) END $$;
CREATE FUNCTION pg_temp.own_name(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN v = '' THEN v
        ELSE pg_temp.name(v) || ' ' || initcap(pg_temp.letters('own:' || v, 10)) END $$;
CREATE FUNCTION pg_temp.username(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN v = '' THEN v ELSE 'user_' || pg_temp.letters('username:' || v, 14) END $$;
CREATE FUNCTION pg_temp.token(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN v = '' THEN v ELSE left(repeat(pg_temp.mac('token:' || v), 1 + length(v) / 64),
                                             greatest(length(v), 16)) END $$;
CREATE FUNCTION pg_temp.password(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN v = '' THEN v ELSE '!' || pg_temp.letters('password:' || v, 40) END $$;
CREATE FUNCTION pg_temp.text(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN length(v) <= 16 THEN left(pg_temp.letters('text:' || v, 16), length(v))
        ELSE rtrim(rpad(pg_temp.letters('text:' || v, 16) || ' ', least(length(v), 2000),
                        'vonu selim tarko brenil ossal quedu mirnat folvi ')) END $$;
CREATE FUNCTION pg_temp.own_text(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN v = '' OR length(v) > 16 THEN pg_temp.text(v) ELSE pg_temp.letters('text:' || v, 16) END $$;
CREATE FUNCTION pg_temp.pour(v text, stream text) RETURNS text LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE poured text := ''; c text; n integer := 0; k integer; code integer; size integer := length(stream);
BEGIN
    IF v !~ '[[:alpha:]]' THEN
        n := length(regexp_replace(v, '[^0-9]', '', 'g'));
        RETURN format(regexp_replace(replace(v, '%', '%%'), '[0-9]', '%s', 'g'),
                      VARIADIC string_to_array(left(repeat(stream, 1 + n / size), n), NULL));
    END IF;
    FOR o IN 1 .. length(v) LOOP
        c := substr(v, o, 1);
        code := ascii(c);
        IF code BETWEEN 48 AND 57 THEN
            c := substr(stream, 1 + n % size, 1);
            n := n + 1;
        ELSIF code BETWEEN 65 AND 90 OR code BETWEEN 97 AND 122 OR code > 127 AND c ~ '[[:alpha:]]' THEN
            k := ascii(substr(stream, 1 + (o - 1) % size, 1)) * 7 % 26;
            c := chr(CASE WHEN code BETWEEN 65 AND 90 THEN 65 ELSE 97 END + k);
        END IF;
        poured := poured || c;
    END LOOP;
    RETURN poured;
END $$;
CREATE FUNCTION pg_temp.digits(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT translate(pg_temp.mac('digits:' || v) || pg_temp.mac('digits2:' || v), 'abcdef', '284961') $$;
CREATE FUNCTION pg_temp.shape(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN v = '' THEN v ELSE pg_temp.pour(v, pg_temp.digits(v)) END $$;
CREATE FUNCTION pg_temp.phone(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT COALESCE((SELECT p.masked FROM pg_temp.gonogo_phone AS p WHERE p.value = v), pg_temp.shape(v)) $$;
CREATE FUNCTION pg_temp.ip(v inet) RETURNS inet LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN family(v) = 4 THEN '198.18.0.0'::inet + pg_temp.dice('ip:' || host(v), 131072)
        ELSE '2001:db8::'::inet + ('x0' || left(pg_temp.mac('ip:' || host(v)), 15))::bit(64)::bigint END $$;
CREATE FUNCTION pg_temp.ip_text(v text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN v = '' THEN v WHEN strpos(v, ':') > 0
        THEN host('2001:db8::'::inet + ('x0' || left(pg_temp.mac('ip:' || v), 15))::bit(64)::bigint)
        ELSE host('198.18.0.0'::inet + pg_temp.dice('ip:' || v, 131072)) END $$;
CREATE FUNCTION pg_temp.shift(v text) RETURNS interval LANGUAGE sql STABLE AS $$
    SELECT (CASE WHEN pg_temp.dice('sign:' || v, 2) = 0 THEN 1 ELSE -1 END) * (interval '1 day'
        + pg_temp.dice('shift:' || v, 1000000000) / 1e9 * (current_setting('gonogo.window')::integer - 1)
        * interval '1 day') $$;
CREATE FUNCTION pg_temp.shift_days(v date) RETURNS date LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN NOT isfinite(v) THEN v ELSE v + (CASE WHEN pg_temp.dice('sign:' || v::text, 2) = 0
        THEN 1 ELSE -1 END) * (1 + pg_temp.dice('shift:' || v::text, current_setting('gonogo.window')::integer)) END $$;
CREATE FUNCTION pg_temp.value(rule text, v text) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN
    CASE rule
    WHEN 'text' THEN RETURN pg_temp.text(v);
    WHEN 'email' THEN RETURN pg_temp.email(v);
    WHEN 'keep' THEN RETURN v;
    WHEN 'null' THEN RETURN NULL;
    WHEN 'name' THEN RETURN pg_temp.name(v);
    WHEN 'given_name' THEN RETURN pg_temp.given_name(v);
    WHEN 'family_name' THEN RETURN pg_temp.family_name(v);
    WHEN 'username' THEN RETURN pg_temp.username(v);
    WHEN 'phone' THEN RETURN pg_temp.phone(v);
    WHEN 'token' THEN RETURN pg_temp.token(v);
    WHEN 'password' THEN RETURN pg_temp.password(v);
    WHEN 'ip' THEN RETURN pg_temp.ip_text(v);
    ELSE RETURN pg_temp.shape(v);
    END CASE;
END $$;
CREATE FUNCTION pg_temp.number(rule text, key text, v numeric) RETURNS numeric LANGUAGE plpgsql STABLE AS $$
DECLARE personal boolean := abs(v) >= current_setting('gonogo.least_number')::numeric; masked text;
BEGIN
    IF rule = 'keep' OR rule = 'null' THEN
        RETURN CASE WHEN rule = 'keep' THEN v END;
    END IF;
    IF rule = 'text' AND NOT personal THEN
        personal := «named»;
    END IF;
    IF rule = 'text' AND NOT personal THEN
        RETURN v;
    END IF;
    masked := CASE WHEN rule = 'shape' THEN pg_temp.shape(v::text) ELSE pg_temp.phone(v::text) END;
    -- A zero in front would be lost, and with it a digit.
    RETURN CASE WHEN abs(v) >= 1 THEN regexp_replace(masked, '^(-?)0', '\18') ELSE masked END::numeric;
END $$;
CREATE FUNCTION pg_temp.leaf(rule text, key text, kind text, v jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$ BEGIN
    IF kind = 'string' THEN
        RETURN COALESCE(to_jsonb(pg_temp.value(rule, v #>> '{}')), 'null'::jsonb);
    ELSIF kind = 'number' THEN
        RETURN COALESCE(to_jsonb(pg_temp.number(rule, key, (v #>> '{}')::numeric)), 'null'::jsonb);
    END IF;
    RETURN v;
END $$;
CREATE FUNCTION pg_temp.document(v jsonb, path text, rules jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE kind text := jsonb_typeof(v); rule text; last text;
BEGIN
    IF kind = 'object' AND (NOT rules ? path OR rules ->> path <> 'null') THEN
        RETURN COALESCE((SELECT jsonb_object_agg(
            CASE WHEN strpos(key, '@') > 0 THEN pg_temp.email(key)
                ELSE COALESCE((SELECT k.masked FROM pg_temp.gonogo_key AS k WHERE k.value = key), key) END,
            CASE WHEN jsonb_typeof(value) IN ('object', 'array')
                THEN pg_temp.document(value, CASE WHEN path = '' THEN key ELSE path || '.' || key END, rules)
                ELSE pg_temp.leaf(COALESCE(rules ->> CASE WHEN path = '' THEN key ELSE path || '.' || key END,
                    rules ->> ('*.' || regexp_replace(key, '^.*\.', '')), 'text'), key, jsonb_typeof(value), value) END)
            FROM jsonb_each(v)), '{}'::jsonb);
    ELSIF kind = 'object' THEN
        RETURN 'null'::jsonb;
    END IF;
    last := regexp_replace(path, '^.*\.', '');
    rule := COALESCE(rules ->> path, rules ->> ('*.' || last), 'text');
    IF kind <> 'array' THEN
        RETURN pg_temp.leaf(rule, last, kind, v);
    END IF;
    RETURN COALESCE((SELECT jsonb_agg(
        CASE WHEN jsonb_typeof(value) IN ('object', 'array') THEN pg_temp.document(value, path, rules)
            ELSE pg_temp.leaf(rule, last, jsonb_typeof(value), value) END ORDER BY o)
        FROM jsonb_array_elements(v) WITH ORDINALITY AS s(value, o)), '[]'::jsonb);
END $$;
"""


def install(connection: Connection, key: bytes, date_window: int) -> None:
    """Make the functions for this session. ``key`` is 32 bytes; it is never a part of a statement's text."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"the key has {len(key)} bytes and not {KEY_BYTES}")
    padded = key.ljust(64, b"\0")
    settings = {
        "gonogo.inner": bytes(byte ^ 0x36 for byte in padded).hex(),
        "gonogo.outer": bytes(byte ^ 0x5C for byte in padded).hex(),
        "gonogo.given": _GIVEN,
        "gonogo.givens": str(len(_GIVEN.split())),
        "gonogo.family": _FAMILY,
        "gonogo.families": str(len(_FAMILY.split())),
        "gonogo.window": str(date_window),
        "gonogo.least_number": str(column_texts.LEAST_NUMBER),
        "gonogo.number_name": NUMBER_NAME,
    }
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])
    named = small_numbers.NAMED.replace("«key»", "key").replace("«names»", "current_setting('gonogo.number_name')")
    connection.execute(_FUNCTIONS.replace("«named»", named))


def fill_phones(connection: Connection, columns: list[Column]) -> None:
    """Give each distinct number one of its own: 999 and a count in a secret order, poured into the number's shape.

    The great numbers of documents are among them, so that one is the same there and in a column.
    """
    if not columns:
        return
    parts = [
        column_texts.numbers(column)
        if column.shape == "json"
        else sql.SQL("SELECT {}::text AS value FROM {}").format(
            sql.SQL("unnest({})").format(column.identifier) if column.shape == "array" else column.identifier,
            column.table_identifier,
        )
        for column in columns
    ]
    connection.execute(
        sql.SQL(
            "INSERT INTO pg_temp.gonogo_phone SELECT value, pg_temp.pour(value, CASE WHEN n > 3"
            " THEN left('999' || lpad(place::text, n - 3, '0'), n) ELSE pg_temp.digits(value) END)"
            " FROM (SELECT value, n,"
            " row_number() OVER (PARTITION BY n ORDER BY pg_temp.mac('phone:' || value)) AS place"
            " FROM (SELECT DISTINCT value, length(regexp_replace(value, '[^0-9]', '', 'g')) AS n FROM ({}) AS every"
            " WHERE value <> '') AS each) AS counted"
        ).format(sql.SQL(" UNION ALL ").join(parts))
    )
    connection.execute("ANALYZE pg_temp.gonogo_phone")


def fill_keys(connection: Connection, masked: list[tuple[Column, InventoryEntry]]) -> None:
    """Give each key of the masked documents that is somebody's a pseudonym, that of the column which holds it too."""
    documents = [column for column, entry in masked if entry.mask == "json"]
    if not documents:
        return
    keys = [
        document_keys.every(column, column_texts.document(column, sql.SQL("t.{}").format(column.identifier)))
        for column in documents
    ]
    if not document_keys.prepare(connection, keys, document_keys.named(entry for _, entry in masked)):
        return
    for column, entry in masked:
        if column.shape in ("text", "array", "number", "inet", "json"):
            function = _FUNCTION_OF[(entry.mask, False)] if entry.mask in _OF_A_TEXT else "shape"
            document_keys.mask_equal(connection, column_texts.values(column, entry), "pg_temp." + function)
    document_keys.mask_personal(connection)


def misfit(column: Column, entry: InventoryEntry) -> str:
    """Why a mask cannot be applied to a column, or ""."""
    mask = entry.mask
    if mask in ("keep", "delete_rows"):
        return ""
    if column.computed:
        return f"{column.label} is computed by the database and cannot be masked itself; mask what it is made from."
    if column.relation == "f":
        return f"{column.label} belongs to a foreign table, which stands elsewhere and is not masked."
    if mask == "null":
        return f"{column.label} may not be null, so mask: null does not fit." if column.not_null else ""
    if column.shape not in _SHAPES[mask]:
        return f"mask: {mask} does not fit {column.label}, whose type is {column.type}."
    room = _ROOM.get(mask)
    if room and column.limit is not None and column.limit < room:
        return f"{column.label} takes {column.limit} characters, and mask: {mask} needs {room}."
    return ""


def expression(column: Column, entry: InventoryEntry, *, own: bool) -> sql.Composable:
    """The masked value of a column of the table ``t`` in SQL. CheckError when the mask does not fit the column.

    ``own``: some column with this mask is unique, so pseudonyms are as well.
    """
    if problem := misfit(column, entry):
        raise CheckError(problem, remedy="Correct the inventory in the plan. Nothing was masked.")
    name = sql.SQL("t.{}").format(column.identifier)
    if entry.mask == "null":
        return sql.SQL("NULL")
    if entry.mask == "json":
        rules = sql.Literal(json.dumps(entry.json_keys))
        return sql.SQL("pg_temp.document({}::jsonb, '', {}::jsonb)::{}").format(name, rules, sql.SQL(_json(column)))
    if entry.mask == "date":
        if column.shape == "date":
            return sql.SQL("pg_temp.shift_days({})").format(name)
        return sql.SQL("CASE WHEN isfinite({0}) THEN {0} + pg_temp.shift({0}::text) ELSE {0} END").format(name)
    if column.shape == "inet":
        return _device(column, name)
    function: LiteralString = _FUNCTION_OF[(entry.mask, own)]
    call = sql.SQL("pg_temp.") + sql.SQL(function)
    if column.shape == "array":
        return sql.SQL(
            "CASE WHEN {0} IS NULL THEN NULL ELSE ARRAY(SELECT {1}(e::text) FROM unnest({0}) WITH ORDINALITY AS s(e, o)"
            " ORDER BY o) END"
        ).format(name, call)
    return _of_one(column, entry, sql.SQL("{}({}::text)").format(call, name), name)


def _of_one(column: Column, entry: InventoryEntry, masked: sql.Composed, name: sql.Composable) -> sql.Composable:
    """The masked value, which is a text, as the column takes it."""
    if entry.mask == "phone":
        # Asked here and not by the function, which a million rows would feel.
        known = "COALESCE((SELECT p.masked FROM pg_temp.gonogo_phone AS p WHERE p.value = {}::text), {})"
        masked = sql.SQL(known).format(name, masked)
    if column.shape == "number":
        return sql.SQL("({})::numeric").format(masked)
    if column.limit is not None:
        masked = sql.SQL("left({}, {})").format(masked, sql.Literal(column.limit))
    return masked


#: Masks that make a text of a text.
_OF_A_TEXT: Final = (
    "email",
    "name",
    "given_name",
    "family_name",
    "username",
    "phone",
    "text",
    "token",
    "password",
    "ip",
)
_OWN: Final = {"name": "own_name", "text": "own_text"}
_FUNCTION_OF: Final[dict[tuple[str, bool], LiteralString]] = {
    (mask, own): (_OWN.get(mask, mask) if own else mask) if mask != "ip" else "ip_text"
    for mask in get_args(Mask)
    for own in (False, True)
}


def _device(column: Column, name: sql.Composable) -> sql.Composable:
    if column.type.startswith("macaddr"):
        return sql.SQL("('02' || left(pg_temp.mac('mac:' || {}::text), 10))::macaddr").format(name)
    return sql.SQL("pg_temp.ip({}::inet)").format(name)


def _json(column: Column) -> LiteralString:
    return "json" if column.type == "json" else "jsonb"
