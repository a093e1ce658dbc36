"""Facts of a PostgreSQL database: server, settings, extensions, collations, schema and how many rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import LiteralString

from psycopg import sql

from checks.tools import digest
from checks.tools.parity.facts import Area, Side
from checks.tools.postgres import Connection, one, version_name

#: What changes results, plans, limits or durability. Addresses, folders and logging are each server's own.
SETTINGS: tuple[str, ...] = (
    "allow_system_table_mods", "array_nulls", "autovacuum", "autovacuum_analyze_scale_factor", "autovacuum_max_workers",
    "autovacuum_naptime", "autovacuum_vacuum_cost_delay", "autovacuum_vacuum_cost_limit",
    "autovacuum_vacuum_scale_factor", "backslash_quote", "block_size", "bytea_output", "checkpoint_completion_target",
    "checkpoint_timeout", "constraint_exclusion", "cpu_index_tuple_cost", "cpu_operator_cost", "cpu_tuple_cost",
    "cursor_tuple_fraction", "data_checksums", "DateStyle", "deadlock_timeout", "default_statistics_target",
    "default_table_access_method", "default_text_search_config", "default_toast_compression",
    "default_transaction_deferrable", "default_transaction_isolation", "default_transaction_read_only",
    "effective_cache_size", "effective_io_concurrency", "enable_bitmapscan", "enable_hashagg", "enable_hashjoin",
    "enable_indexonlyscan", "enable_indexscan", "enable_material", "enable_memoize", "enable_mergejoin",
    "enable_nestloop", "enable_parallel_append", "enable_parallel_hash", "enable_partition_pruning",
    "enable_partitionwise_aggregate", "enable_partitionwise_join", "enable_seqscan", "enable_sort", "enable_tidscan",
    "event_triggers", "extra_float_digits", "from_collapse_limit", "fsync", "full_page_writes", "geqo",
    "geqo_threshold", "gin_fuzzy_search_limit", "hash_mem_multiplier", "hot_standby", "huge_pages",
    "idle_in_transaction_session_timeout", "idle_session_timeout", "integer_datetimes", "IntervalStyle", "jit",
    "jit_above_cost", "join_collapse_limit", "lc_messages", "lc_monetary", "lc_numeric", "lc_time", "lock_timeout",
    "lo_compat_privileges", "logical_decoding_work_mem", "maintenance_work_mem", "max_connections",
    "max_locks_per_transaction", "max_parallel_maintenance_workers", "max_parallel_workers",
    "max_parallel_workers_per_gather", "max_prepared_transactions", "max_wal_senders", "max_wal_size",
    "max_worker_processes", "min_parallel_index_scan_size", "min_parallel_table_scan_size", "parallel_setup_cost",
    "parallel_tuple_cost", "password_encryption", "plan_cache_mode", "quote_all_identifiers", "random_page_cost",
    "recovery_prefetch", "recursive_worktable_factor", "row_security", "scram_iterations", "search_path",
    "seq_page_cost", "server_encoding", "session_preload_libraries", "session_replication_role", "shared_buffers",
    "shared_preload_libraries", "ssl", "ssl_min_protocol_version", "standard_conforming_strings", "statement_timeout",
    "synchronous_commit", "synchronous_standby_names", "synchronize_seqscans", "temp_buffers", "temp_file_limit",
    "TimeZone", "track_activities", "track_counts", "track_io_timing", "transaction_timeout", "transform_null_equals",
    "vacuum_freeze_min_age", "wal_buffers", "wal_compression", "wal_level", "work_mem", "xmlbinary", "xmloption",
)  # fmt: skip
_SETTINGS: LiteralString = """
    SELECT name, COALESCE(reset_val, ''), COALESCE(unit, '') FROM pg_catalog.pg_settings
    WHERE lower(name) = ANY(%s)
"""
_COLLATION: LiteralString = """
    SELECT pg_encoding_to_char(encoding), COALESCE(to_jsonb(d)->>'datlocprovider', 'c'), datcollate, datctype,
           COALESCE(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale', ''),
           COALESCE(to_jsonb(d)->>'datcollversion', '')
    FROM pg_catalog.pg_database d WHERE datname = current_database()
"""
_OWN_COLLATIONS: LiteralString = """
    SELECT format('%I.%I', n.nspname, c.collname), concat_ws(' ', c.collprovider, c.collisdeterministic,
        to_jsonb(c)->>'collcollate', to_jsonb(c)->>'collctype', to_jsonb(c)->>'colllocale',
        to_jsonb(c)->>'colliculocale', to_jsonb(c)->>'collversion')
    FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
    WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""
_SIZES: LiteralString = """
    SELECT n.nspname, c.relname, c.reltuples::bigint, pg_catalog.pg_relation_size(c.oid)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""
_COLLATION_FACTS = ("encoding", "provider", "collate", "ctype", "locale", "version")
_PROVIDERS = {"b": "builtin", "c": "libc", "i": "icu"}
_BYTES = {"B": 1, "kB": 1024, "8kB": 8192, "16kB": 16384, "32kB": 32768, "64kB": 65536, "MB": 1024**2}
#: Tables larger than this are not counted; the planner's own estimate is taken where there is one.
COUNTED_BYTES = 32 * 1024**2
#: Few enough that a statement is planned and its locks are taken at once.
COUNTED_AT_ONCE = 50


def gather(connection: Connection, side: Side, extra_settings: Iterable[str] = ()) -> None:
    """Every fact of the connected database, except its schema, which ``of_schema.facts`` gives."""
    side.put(Area.SERVER, "version", version_name(connection.info.server_version))
    _settings(connection, side, extra_settings)
    rows = connection.execute("SELECT extname, extversion FROM pg_catalog.pg_extension").fetchall()
    side.fill(Area.EXTENSION, dict(rows))
    _collations(connection, side)
    _rows(connection, side)


def _settings(connection: Connection, side: Side, extra: Iterable[str]) -> None:
    wanted = {name.lower(): name for name in (*SETTINGS, *extra)}
    for name, value, unit in connection.execute(_SETTINGS, [list(wanted)]).fetchall():
        side.put(Area.SETTING, name, _readable(value, unit))
        wanted.pop(name.lower(), None)
    for name in extra:
        if name.lower() in wanted:
            side.miss(Area.SETTING, "there is no such setting, or this role may not read it", name)
    # Kept from ordinary roles; where one side shows it and the other does not, the comparison would say "missing".
    readable = one(connection, "SELECT pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE')")
    if not readable:
        for name in ("shared_preload_libraries", "session_preload_libraries"):
            side.facts[Area.SETTING].pop(name, None)
            side.miss(Area.SETTING, f"the role of {side.environment} is no member of pg_read_all_settings", name)


def _readable(value: str, unit: str) -> str:
    """'16384', '8kB' -> '128 MB'; '300', 's' -> '300 s'; without a unit as it is; -1 and 0 mean no size."""
    factor = _BYTES.get(unit)
    if factor is None:
        return f"{value} {unit}" if unit and value not in {"-1", "0"} else value
    if not value.isdecimal() or value == "0":
        return value
    size, name = int(value) * factor, "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size % 1024 or size < 1024:
            break
        size, name = size // 1024, larger
    return f"{size} {name}"


def _collations(connection: Connection, side: Side) -> None:
    row = connection.execute(_COLLATION).fetchone()
    assert row is not None
    values: Mapping[str, str] = dict(zip(_COLLATION_FACTS, row, strict=True))
    side.fill(Area.COLLATION, {**values, "provider": _PROVIDERS.get(values["provider"], values["provider"])})
    if connection.info.server_version >= 150000:
        query: LiteralString = (
            "SELECT pg_catalog.pg_database_collation_actual_version(oid) FROM pg_catalog.pg_database"
            " WHERE datname = current_database()"
        )
        # What the operating system's library sorts by now, whatever it was when the database was made.
        side.put(Area.COLLATION, "library version", str(one(connection, query) or ""))
    side.fill(Area.COLLATION, dict(connection.execute(_OWN_COLLATIONS).fetchall()))


def _rows(connection: Connection, side: Side) -> None:
    own = {table.label for table in digest.tables(connection)}
    side.facts.setdefault(Area.ROWS, {})
    sizes = [row for row in connection.execute(_SIZES).fetchall() if f"{row[0]}.{row[1]}" in own]
    small = [(namespace, name) for namespace, name, estimate, size in sizes if size <= COUNTED_BYTES or estimate < 0]
    counted = _counts(connection, small)
    for namespace, name, estimate, _ in sizes:
        rows = counted.get((namespace, name))
        told = f"about {estimate:,}" if rows is None else f"{rows:,}"
        side.put(Area.ROWS, f"{namespace}.{name}", str(estimate if rows is None else rows), told)


def _counts(connection: Connection, tables: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Many in one statement: a database has a thousand tables, and another machine may be a millisecond away."""
    found: dict[tuple[str, str], int] = {}
    for first in range(0, len(tables), COUNTED_AT_ONCE):
        batch = tables[first : first + COUNTED_AT_ONCE]
        counts = [sql.SQL("(SELECT count(*) FROM {})").format(sql.Identifier(*table)) for table in batch]
        row = connection.execute(sql.SQL("SELECT ARRAY[{}]").format(sql.SQL(", ").join(counts))).fetchone()
        found |= dict(zip(batch, row[0], strict=True))  # type: ignore[index]
    return found
