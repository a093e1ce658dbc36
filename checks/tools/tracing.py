"""What the wrapper in the child told of each Django migration; its other half is ``django_trace/sitecustomize.py``.

The wrapper is put in front of PYTHONPATH, so it reaches every Python that the command starts, and nothing has to be
installed. Where it is not loaded (``python -I`` or ``-E``, another language, a command that clears its environment),
the trace is empty and says so; the migration runs as it would have anyway.
"""

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checks.tools import server_words

FOLDER = Path(__file__).with_name("django_trace")
MAX_LINE = 1_000_000


@dataclass
class Failure:
    """An error as the child saw it, without the values that PostgreSQL or the application quote of rows.

    ``sqlstate``: PostgreSQL's five characters, "" when it was not the server's.
    """

    kind: str
    text: str
    sqlstate: str


@dataclass
class Statement:
    """One statement, or many equal ones that followed each other. ``wal``: bytes, None where it was not measured.

    ``rewrites``: numbers of relations that got another file. ``locks``: (number of relation, mode) newly held.
    """

    number: int
    sql: str
    word: str
    began: float
    count: int = 0
    seconds: float = 0.0
    ended: float | None = None
    wal: int | None = None
    rewrites: list[int] = field(default_factory=list)
    locks: list[tuple[int, str]] = field(default_factory=list)
    failure: Failure | None = None


@dataclass
class Migration:
    """One migration of Django, as it ran. ``seconds`` is without the wrapper's own time, which is ``own``.

    ``wal`` and ``size``: bytes of WAL, and by how many the database grew; None where it could not be asked.
    ``database``: in which it ran, as the server says; "" where it could not be asked.
    ``shapes``: one word for the schema at its begin and its end.
    ``unseen``: something broke in the wrapper, so not everything that it did is here.
    """

    name: str
    forwards: bool
    atomic: bool
    backend: int
    began: float
    irreversible: list[str]
    statements: list[Statement] = field(default_factory=list)
    ended: float | None = None
    seconds: float | None = None
    own: float = 0.0
    wal: int | None = None
    size: int | None = None
    failure: Failure | None = None
    sql: str | None = None
    sql_failure: str = ""
    unseen: bool = False
    database: str = ""
    shapes: tuple[str | None, str | None] = (None, None)

    @property
    def broke_off(self) -> bool:
        return self.failure is not None or self.ended is None

    def at(self, moment: float) -> Statement | None:
        """The statement that was under way at a moment, or the last one before it."""
        return next((each for each in reversed(self.statements) if each.began <= moment), None)


@dataclass(frozen=True)
class Planned:
    """What one migrate of Django was about to do: how many migrations, in which database, and whether only to write
    them down (``fake``). ``left``: others that its code knows and that were not applied.
    """

    migrations: int
    fake: bool
    left: list[str]
    database: str


@dataclass
class Trace:
    """``loaded``: the versions of Django that were watched. ``troubles``: sentences on what could not be traced.
    ``squashed``: migrations that stand for others. ``elsewhere``: migrations in what is no PostgreSQL, and what it is.
    """

    squashed: set[str] = field(default_factory=set)
    elsewhere: list[tuple[str, str]] = field(default_factory=list)
    planned: list[Planned] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    migrations: list[Migration] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def forwards(self) -> list[Migration]:
        return [each for each in self.migrations if each.forwards]

    def outside_of(self, database: str) -> list[tuple[str, str]]:
        """Migrations that ran in another database than this one, and in which."""
        others = [(each.name, each.database) for each in self.migrations if each.database not in ("", database)]
        return [*others, *self.elsewhere]

    def written_down(self) -> set[str]:
        """Squashed migrations that were written down since all of their parts were applied, and not executed."""
        return self.squashed - {each.name for each in self.migrations}

    def strayed(self, before: str, after: str) -> bool:
        """Whether something but the migrations changed the schema, which was ``before`` and is ``after``."""
        shapes = [before, *(shape for each in self.migrations for shape in each.shapes), after]
        return any(shapes[at] != shapes[at + 1] or shapes[at] is None for at in range(0, len(shapes), 2))

    def planned_in(self, database: str) -> list[Planned]:
        return [each for each in self.planned if each.database == database]

    def left_in(self, database: str, applied: Collection[str]) -> list[str]:
        """Migrations that the command's code knows, that it did not mean to apply, and that are not applied."""
        names = [name for each in self.planned_in(database) for name in each.left]
        return [name for name in dict.fromkeys(names) if name not in applied]

    @property
    def broken(self) -> Migration | None:
        """The last one that failed or never ended, and was not done all right afterwards."""
        last = {each.name: each for each in self.migrations}
        return next((each for each in reversed(self.migrations) if each is last[each.name] and each.broke_off), None)

    @property
    def under_way(self) -> Migration | None:
        """The migration that began and never ended."""
        return next((each for each in reversed(self.migrations) if each.ended is None), None)


@dataclass(frozen=True)
class Stage:
    """How far the command is: the migration under way or ended last, how many ended, of how many (0: not known)."""

    migration: str
    done: int
    planned: int


class Following:
    """Reads what the wrapper writes while it writes."""

    def __init__(self, file: Path) -> None:
        self._file, self._read, self._rest = file, 0, b""
        self._migration, self._done, self._planned = "", 0, 0

    def look(self) -> Stage | None:
        """None as long as no migration was planned or begun."""
        with suppress(FileNotFoundError), self._file.open("rb") as lines:
            lines.seek(self._read)
            *whole, self._rest = (self._rest + lines.read()).split(b"\n")
            self._read = lines.tell()
            for line in whole:
                with suppress(ValueError, KeyError):
                    self._take(json.loads(line))
        known = self._planned or self._migration
        return Stage(self._migration, self._done, self._planned) if known else None

    def _take(self, told: Mapping[str, Any]) -> None:
        if told["event"] == "planned":
            self._planned += told["migrations"]
        elif told["event"] == "migration":
            self._migration = told["migration"]
        elif told["event"] == "ended":
            self._done += 1


def variables(file: Path, others: Mapping[str, str]) -> dict[str, str]:
    """What the child's environment needs so that the wrapper is loaded and writes into ``file``."""
    path = others.get("PYTHONPATH", "")
    return {"PYTHONPATH": f"{FOLDER}{os.pathsep + path if path else ''}", "GONOGO_TRACE_FILE": str(file)}


def read(file: Path) -> Trace:
    """Everything that was told, also by a child that died in the middle of a line."""
    trace = Trace()
    try:
        lines = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return trace
    under_way: dict[int, Migration] = {}
    for line in lines:
        if not line or len(line) > MAX_LINE:
            continue
        try:
            told = json.loads(line)
        except ValueError:
            trace.troubles.append("The wrapper's last line is broken off; the child died while it wrote.")
            continue
        _take(trace, under_way, told)
    return trace


def _take(trace: Trace, under_way: dict[int, Migration], told: Mapping[str, Any]) -> None:
    """Sort one line in. Lines of different processes do not touch each other's migrations."""
    event, pid = told["event"], told["pid"]
    if event == "loaded":
        trace.loaded.append(f"Django {told['django']} on Python {told['python']}")
    elif event in ("planned", "squashed", "elsewhere"):
        _take_plan(trace, event, told)
    elif event == "refused":
        trace.troubles.append(
            f"The wrapper could not be put around Django's executor: {server_words.of_text(told['text'])}"
        )
    elif event == "broken":
        trace.troubles.append(
            f"During {told['migration']} the wrapper could not measure: {server_words.of_text(told['text'])}"
        )
        if pid in under_way:
            under_way[pid].unseen = True
    elif event == "migration":
        migration = Migration(
            told["migration"], told["forwards"], told["atomic"], told["backend"], told["at"], told["irreversible"]
        )
        under_way[pid] = migration
        trace.migrations.append(migration)
    elif pid in under_way:
        _take_detail(under_way[pid], event, told)
        if event == "ended":
            del under_way[pid]


def _take_plan(trace: Trace, event: str, told: Mapping[str, Any]) -> None:
    if event == "planned":
        trace.planned.append(Planned(told["migrations"], told["fake"], told["left"], told["database"]))
    elif event == "squashed":
        trace.squashed.update(told["names"])
    else:
        trace.elsewhere.append((told["migration"], told["database"]))


def _take_detail(migration: Migration, event: str, told: Mapping[str, Any]) -> None:
    if event == "within":
        migration.database, migration.shapes = told["database"], (told["shape"], None)
    elif event == "sqlmigrate":
        migration.sql = told.get("sql")
        failure = _failure(told.get("failure"))
        migration.sql_failure = failure.text if failure is not None else ""
        migration.began = told["at"]  # making it was the wrapper's work, not the migration's
    elif event == "statement":
        text = server_words.of_statement(told["sql"]) if told.get("rows") else told["sql"]
        migration.statements.append(Statement(told["number"], text, told["word"], told["at"]))
    elif event == "done":
        _take_done(migration, told)
    elif event == "ended":
        migration.ended, migration.seconds, migration.own = told["at"], told["seconds"], told["own"]
        migration.shapes = (migration.shapes[0], told["shape"])
        migration.wal, migration.size, migration.failure = told["wal"], told["size"], _failure(told["failure"])


def _take_done(migration: Migration, told: Mapping[str, Any]) -> None:
    statement = next((each for each in reversed(migration.statements) if each.number == told["number"]), None)
    if statement is None:  # one of too many, told because it rewrote something
        statement = Statement(told["number"], "", "", told["at"])
        migration.statements.append(statement)
    statement.count, statement.seconds, statement.ended = told["count"], told["seconds"], told["at"]
    statement.wal, statement.rewrites = told["wal"], told["rewrites"]
    statement.locks = [(int(oid), mode) for oid, mode in (each.split(" ") for each in told["locks"])]
    statement.failure = _failure(told["failure"])


def _failure(told: Mapping[str, Any] | None) -> Failure | None:
    if not told:
        return None
    text, sqlstate = told["text"], told["sqlstate"]
    said = told.get("answer")
    if said is None:
        return Failure(told["kind"], server_words.of_text(text), sqlstate)
    raised = said["function"] == server_words.RAISED_IN
    return Failure(told["kind"], server_words.answer(sqlstate, text, raised=raised, table=said["table"]), sqlstate)
