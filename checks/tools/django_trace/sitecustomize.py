"""Loaded by the Python of a rehearsed command, before the application: tells what each Django migration does.

A migration rehearsal puts this folder in front of PYTHONPATH and names a file in GONOGO_TRACE_FILE; one JSON object a
line goes there. Nothing is imported here but the standard library, nothing of the application is changed but
``MigrationExecutor.migrate``, ``apply_migration`` and ``unapply_migration``, which are called as before. Whatever goes
wrong in here is told in the file and never reaches the migration.

Stays readable for every Python that a Django of today runs on (3.8 and later), and needs Django 2.0 or later.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

TARGET = "django.db.migrations.executor"
FILE = os.environ.get("GONOGO_TRACE_FILE", "")
MAX_SQL = 2000
MAX_SQLMIGRATE = 500_000
MAX_STATEMENTS = 2000
QUICK_SECONDS = 0.002
#: So many quick statements of one migration are measured one by one; later ones count for the migration only.
MEASURED = 500
_STATE = """
    SELECT pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_catalog.pg_lsn,
        (SELECT array_agg(c.oid::bigint) FROM pg_catalog.pg_class c WHERE c.relfilenode <> 0 AND c.oid >= 16384),
        (SELECT array_agg(c.relfilenode::bigint) FROM pg_catalog.pg_class c
           WHERE c.relfilenode <> 0 AND c.oid >= 16384),
        (SELECT array_agg(l.relation::bigint || ' ' || l.mode) FROM pg_catalog.pg_locks l
           WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.relation >= 16384
             AND l.mode NOT IN ('AccessShareLock', 'RowShareLock'))
"""
_LOCKS = """
    SELECT array_agg(l.relation::bigint || ' ' || l.mode) FILTER (WHERE l.mode <> 'RowShareLock'),
        array_agg(l.relation::bigint || ' ' || l.mode) FILTER (WHERE l.mode = 'RowShareLock')
    FROM pg_catalog.pg_locks l
    WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.relation >= 16384
      AND l.mode <> 'AccessShareLock'
"""
#: A question that locks the rows it finds until its transaction ends, such as select_for_update().
_LOCKS_ROWS = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+)?(?:UPDATE|SHARE)\b", re.IGNORECASE)
_SHAPE = Path(__file__).with_name("shape.sql").read_text(encoding="utf-8")
_SIZE = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())"
_WAL = "SELECT pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_catalog.pg_lsn"
_WORDS_OF_ROWS = {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES", "MERGE", "COPY"}
#: Nothing may be asked after these: the transaction has not really begun, and its properties may still be set.
_WORDS_OF_SESSION = {"SET", "BEGIN", "START", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT", "LOCK", "SHOW", "RESET"}
IDLE, IN_TRANSACTION = 0, 2


def tell(event: str, **values: Any) -> None:
    """Write one line. A file that cannot be written ends the telling, not the migration."""
    line = json.dumps({"event": event, "at": time.time(), "pid": os.getpid(), **values}, default=str) + "\n"
    with contextlib.suppress(OSError):
        descriptor = os.open(FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line.encode("utf-8", "replace"))
        finally:
            os.close(descriptor)


def reason(error: BaseException) -> dict[str, Any]:
    """An error as values: kind, text, SQLSTATE and, where an answer of the server is behind it, that answer.

    Its message alone then, without its details: those quote whole rows.
    """
    cause: BaseException | None = error
    while cause is not None:
        state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""
        about: Any = getattr(cause, "diag", None)
        message = getattr(about, "message_primary", None)
        if message:
            table = f"{about.schema_name}.{about.table_name}" if about.table_name else ""
            answer = {"function": about.source_function or "", "table": table}
            return {"kind": type(error).__name__, "text": message[:MAX_SQL], "sqlstate": state, "answer": answer}
        cause = cause.__cause__
    state = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None) or ""
    return {"kind": type(error).__name__, "text": str(error)[:MAX_SQL], "sqlstate": state}


class Watch:
    """One migration under way on one connection."""

    def __init__(self, connection: Any, migration: Any, forwards: bool) -> None:
        self.connection, self.migration, self.forwards = connection, migration, forwards
        self.name = f"{migration.app_label}.{migration.name}"
        self.own = 0.0
        self.wal: int | None = None
        self.wal_at_begin: int | None = None
        self.size_at_begin = 0
        self.files: dict[int, int] = {}
        self.locks: set[str] = set()
        self.number = self.measured = 0
        self.group: dict[str, Any] | None = None
        self.broken = ""

    # --- asking the session itself ------------------------------------------------------------------------------------

    def status(self) -> int:
        return int(self.connection.connection.info.transaction_status)

    def ask(self, query: str) -> Any:
        """One row; inside a transaction behind a savepoint, so that a refusal ends our question and nothing else."""
        inside = self.status() == IN_TRANSACTION
        with contextlib.closing(self.connection.connection.cursor()) as cursor:
            if inside:
                cursor.execute("SAVEPOINT gonogo_trace")
            try:
                cursor.execute(query)
                row = cursor.fetchone()
            except Exception:
                if inside:
                    cursor.execute("ROLLBACK TO SAVEPOINT gonogo_trace")
                raise
            if inside:
                cursor.execute("RELEASE SAVEPOINT gonogo_trace")
            return row

    def quietly(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do something of our own: its time is noted, its failure told once and never raised."""
        began = time.perf_counter()
        try:
            return work(*arguments)
        except Exception as error:  # noqa: BLE001 - told, and never the migration's
            if not self.broken:
                why = reason(error)
                self.broken = f"{why['kind']}: {why['text']}"
                tell("broken", migration=self.name, text=self.broken[:MAX_SQL])
            return None
        finally:
            self.own += time.perf_counter() - began

    # --- the migration ------------------------------------------------------------------------------------------------

    def begin(self, state: Any) -> None:
        self.connection.ensure_connection()
        operations = list(_irreversible(self.migration.operations))
        tell("migration", migration=self.name, forwards=self.forwards, atomic=bool(self.migration.atomic),
             alias=self.connection.alias, backend=self.connection.connection.info.backend_pid,
             irreversible=operations)  # fmt: skip
        tell("within", migration=self.name, database=self.ask("SELECT pg_catalog.current_database()")[0],
             shape=self.ask(_SHAPE)[0])  # fmt: skip
        if self.forwards and state is not None:
            self.quietly(self.sqlmigrate, state)
        wal, oids, nodes, _ = self.ask(_STATE)
        self.wal = self.wal_at_begin = int(wal)
        self.files = dict(zip(oids or (), nodes or ()))  # noqa: B905 - Python 3.8 has no strict
        self.size_at_begin = int(self.ask(_SIZE)[0])

    def sqlmigrate(self, state: Any) -> None:
        """What Django's own sqlmigrate prints for this migration, made while the session may write nothing."""
        settings = "default_transaction_read_only"
        (before,) = self.ask(f"SELECT current_setting('{settings}')")
        with contextlib.closing(self.connection.connection.cursor()) as cursor:
            cursor.execute(f"SET {settings} = on")
            try:
                with self.connection.schema_editor(collect_sql=True, atomic=self.migration.atomic) as editor:
                    self.migration.apply(state.clone(), editor, collect_sql=True)
                lines = list(editor.collected_sql)
            except Exception as error:  # noqa: BLE001 - the answer to what was asked
                tell("sqlmigrate", migration=self.name, failure=reason(error))
                return
            finally:
                cursor.execute(f"SET {settings} = {before}")
        if self.migration.atomic and self.connection.features.can_rollback_ddl:
            lines = ["BEGIN;", *lines, "COMMIT;"]
        tell("sqlmigrate", migration=self.name, sql="\n".join(lines)[:MAX_SQLMIGRATE])

    def end(self, seconds: float, error: BaseException | None) -> None:
        own = self.own  # what is asked from here on was not part of those seconds
        if self.group is not None:
            self.quietly(self.close_group)
        wal, size, shape = self.quietly(self.growth) or (None, None, None)
        tell("ended", migration=self.name, forwards=self.forwards, seconds=round(max(0.0, seconds - own), 6),
             own=round(own, 6), wal=wal, size=size, shape=shape, failure=reason(error) if error is not None else None,
             statements=self.number)  # fmt: skip

    def growth(self) -> tuple[int, int, str] | None:
        """Bytes of WAL and of the database since the begin, and the schema; None where nobody can be asked."""
        if self.wal_at_begin is None or self.connection.connection is None:
            return None
        if self.status() not in (IDLE, IN_TRANSACTION):
            return None
        wal, size = int(self.ask(_WAL)[0]) - self.wal_at_begin, int(self.ask(_SIZE)[0]) - self.size_at_begin
        return wal, size, str(self.ask(_SHAPE)[0])

    # --- its statements -----------------------------------------------------------------------------------------------

    def execute(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        self.quietly(self.announce, sql)
        own, began = self.own, time.perf_counter()
        failure: BaseException | None = None
        try:
            return execute(sql, params, many, context)
        except BaseException as error:
            failure = error
            raise
        finally:
            # A wrapped call may itself be wrapped by the application; our own time inside of it is not its time.
            took = time.perf_counter() - began - (self.own - own)
            self.quietly(self.note, took, failure)

    def announce(self, sql: Any) -> None:
        text = sql if isinstance(sql, str) else str(sql)
        if self.group is not None and self.group["text"] == text and self.group["rows"]:
            return
        if self.group is not None:
            self.close_group()
        self.number += 1
        word = text.lstrip(" \t\n(").split(None, 1)[0].upper().rstrip(";") if text.strip(" \t\n(;") else ""
        rows = word in _WORDS_OF_ROWS
        self.group = {"text": text, "word": word, "rows": rows, "count": 0, "seconds": 0.0, "wal": 0, "longest": 0.0}
        if self.number <= MAX_STATEMENTS:
            tell("statement", migration=self.name, number=self.number, sql=text[:MAX_SQL], word=word,
                 rows=rows)  # fmt: skip

    def note(self, took: float, failure: BaseException | None) -> None:
        group = self.group
        if group is None:
            return
        group["count"] += 1
        group["seconds"] += took
        group["longest"] = max(group["longest"], took)
        if failure is not None:
            group["failure"] = reason(failure)
            return
        if group["word"] in _WORDS_OF_SESSION or self.status() not in (IDLE, IN_TRANSACTION):
            group["wal"] = None
        elif not group["rows"]:
            self.note_structure(group)
        elif took > QUICK_SECONDS or self.measured < MEASURED:
            self.measured += 1
            self.note_wal(group, int(self.ask(_WAL)[0]))
        else:
            group["wal"] = self.wal = None

    def note_wal(self, group: dict[str, Any], wal: int) -> None:
        if self.wal is None or group["wal"] is None:
            group["wal"] = None
        else:
            group["wal"] += wal - self.wal
        self.wal = wal

    def note_structure(self, group: dict[str, Any]) -> None:
        wal, oids, nodes, locks = self.ask(_STATE)
        self.note_wal(group, int(wal))
        files = dict(zip(oids or (), nodes or ()))  # noqa: B905 - as above
        changed = [oid for oid, node in files.items() if oid in self.files and self.files[oid] != node]
        self.files = files
        held = set(locks or ()) if self.status() == IN_TRANSACTION else set()
        group["rewrites"] = group.get("rewrites", []) + changed
        group["locks"] = sorted(set(group.get("locks", [])) | (held - self.locks))
        self.locks = held

    def close_group(self) -> None:
        group, self.group = self.group, None
        if group is None:
            return
        if self.number > MAX_STATEMENTS and not group.get("rewrites"):
            return
        if group["rows"] and self.number <= MAX_STATEMENTS and self.status() == IN_TRANSACTION and not self.broken:
            locking = _LOCKS_ROWS.search(group["text"]) is not None
            asked = (group["word"] != "SELECT" or locking) and self.measured < MEASURED
            held = self.ask(_LOCKS) if asked else None
            if held is not None:
                locks, rows = set(held[0] or ()), set(held[1] or ()) if locking else set()
                group["locks"], self.locks = sorted((locks - self.locks) | rows), locks
        tell("done", migration=self.name, number=self.number, count=group["count"],
             seconds=round(group["seconds"], 6), longest=round(group["longest"], 6), wal=group["wal"],
             rewrites=group.get("rewrites", []), locks=group.get("locks", []),
             failure=group.get("failure"))  # fmt: skip


def _irreversible(operations: Sequence[Any]) -> Iterator[str]:
    """What Django itself says that it cannot take back, in its own words."""
    for operation in operations:
        inner = getattr(operation, "database_operations", None)
        if inner is not None:
            yield from _irreversible(inner)
        elif not operation.reversible:
            try:
                yield str(operation.describe())
            except Exception:  # noqa: BLE001 - a description that cannot be made has a name still
                yield type(operation).__name__


def watched(original: Callable[..., Any], forwards: bool) -> Callable[..., Any]:
    def method(self: Any, state: Any, migration: Any, *arguments: Any, **named: Any) -> Any:
        connection = self.connection
        if connection.vendor != "postgresql":
            tell("elsewhere", migration=f"{migration.app_label}.{migration.name}", database=connection.vendor)
            return original(self, state, migration, *arguments, **named)
        watch = Watch(connection, migration, forwards)
        watch.quietly(watch.begin, state)
        watch.own = 0.0
        began = time.perf_counter()
        failure: BaseException | None = None
        try:
            if watch.wal_at_begin is None:
                return original(self, state, migration, *arguments, **named)
            with connection.execute_wrapper(watch.execute):
                return original(self, state, migration, *arguments, **named)
        except BaseException as error:
            failure = error
            raise
        finally:
            watch.quietly(watch.end, time.perf_counter() - began, failure)

    method.__name__, method.__doc__ = original.__name__, original.__doc__
    return method


def tell_plan(executor: Any, targets: Any, plan: Any, fake: bool) -> None:
    """How many migrations are to come, also when none is; and which others the code knows that are not applied."""
    steps = executor.migration_plan(targets) if plan is None else plan
    left: list[str] = []
    if not any(backwards for _, backwards in steps):
        coming = {(each.app_label, each.name) for each, _ in steps}
        whole = executor.migration_plan(executor.loader.graph.leaf_nodes())
        left = [f"{each.app_label}.{each.name}" for each, _ in whole if (each.app_label, each.name) not in coming]
    tell("planned", migrations=len(steps), fake=fake, left=left,
         database=str(executor.connection.settings_dict.get("NAME") or ""))  # fmt: skip


def planned(original: Callable[..., Any]) -> Callable[..., Any]:
    """Tell what an executor is about to do, before it does it."""

    def migrate(self: Any, targets: Any, plan: Any = None, *arguments: Any, **named: Any) -> Any:
        fake = bool(named.get("fake", arguments[1] if len(arguments) > 1 else False))
        try:
            tell_plan(self, targets, plan, fake)
        except Exception as error:  # noqa: BLE001 - told, and never the application's
            tell("refused", text=f"{type(error).__name__}: {error}")
        done = original(self, targets, plan, *arguments, **named)
        # Django writes down a squashed migration whose parts are all applied, and executes nothing.
        with contextlib.suppress(Exception):
            tell("squashed", names=[".".join(key) for key in self.loader.replacements])
        return done

    migrate.__name__, migrate.__doc__ = original.__name__, original.__doc__
    return migrate


def patch(module: Any) -> None:
    """Put three methods of Django's executor under watch."""
    try:
        import django

        executor = module.MigrationExecutor
        executor.apply_migration = watched(executor.apply_migration, True)
        executor.unapply_migration = watched(executor.unapply_migration, False)
        executor.migrate = planned(executor.migrate)
        tell("loaded", django=django.get_version(), python=sys.version.split()[0])
    except Exception as error:  # noqa: BLE001 - told, and never the application's
        tell("refused", text=f"{type(error).__name__}: {error}")


class Finder:
    """Finds one module as everybody else would, and patches it once it is executed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name != TARGET:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            patch(module)

        try:
            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        except Exception as error:  # noqa: BLE001 - told, and never the application's
            tell("refused", text=f"{type(error).__name__}: {error}")
        return spec


def make_way() -> None:
    """Take this folder off the path, and run the sitecustomize that would have run without it."""
    here = Path(__file__).parent.resolve()
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if FILE:
    sys.meta_path.insert(0, Finder())
make_way()
