"""Whether a command really ran Django's check with --deploy, and with nothing that narrows it.

Django prints the same end whatever it looked at, so the end alone proves nothing. What proves it is a command: written
in the plan, in a file of the plan's folder that the plan's command names, or printed by a shell that tells what it runs
(set -x). Words that are only printed, and comments, are no command.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from checks.kinds.base import RunContext

#: A quoted text or an escaped sign, which is kept; or a comment.
_COMMENT: Final = re.compile(
    r"""('[^']*'|"(?:\\.|[^"\\])*"|\\.)|(?:^|(?<=[\s;&|()]))#[^\n]*""", re.MULTILINE | re.DOTALL
)
_SIGNS: Final = ";&|()\n<>"
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")
#: Before a command, and no part of it.
_LEADING: Final = frozenset(["if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "exec", "command"])
#: They print or ignore their words, and run none of them.
_RUN_NOTHING: Final = frozenset(
    ["echo", "printf", ":", "true", "false", "test", "[", "cat", "grep", "export", "logger"]
)
_DJANGO: Final = frozenset({"manage.py", "django-admin", "django-admin.py", "django"})
#: Options of Django's check that take the next word.
_WITH_VALUE: Final = frozenset({"--settings", "--pythonpath", "--verbosity", "-v", "--fail-level", "--database"})
#: What may be the name of a file. Commands run in the plan's folder, and know it by a name as well.
_NAMES: Final = re.compile(r"(?:\$\{?GONOGO_PLAN_DIR\}?/)?([\w./-]+)")
_APP: Final = re.compile(r"[a-z_]\w*")
_XTRACE: Final = re.compile(r"^\++ (.*)$", re.MULTILINE)
_MAX_SCRIPT_BYTES: Final = 1_000_000
_MAX_DEPTH: Final = 4


@dataclass(frozen=True)
class DjangoCheck:
    """One command that runs a check. ``is_djangos``: surely Django's, and not of a program that we do not know."""

    after: tuple[str, ...]
    is_djangos: bool

    @property
    def is_for_deployment(self) -> bool:
        return "--deploy" in self.after

    @property
    def narrowed_by(self) -> str:
        """The option or the application that lets it look at a part only."""
        words = iter(self.after)
        for word in words:
            if word in _WITH_VALUE:
                next(words, "")
            elif re.match(r"--ta|-t", word) or _APP.fullmatch(word):
                return word
        return ""


@dataclass(frozen=True)
class Doubt:
    why: str
    remedy: str


def doubt(checks: Sequence[DjangoCheck]) -> Doubt | None:
    """Why these commands do not prove that all settings were looked at; None where they do."""
    for check in checks:
        if check.is_for_deployment and check.narrowed_by:
            return Doubt(
                f"Django's check was asked for a part only ({check.narrowed_by}); not all settings were looked at.",
                "Run `check --deploy` without --tag and without names of applications.",
            )
    if any(check.is_for_deployment for check in checks):
        without = [check for check in checks if check.is_djangos and not check.is_for_deployment]
        if not without:
            return None
        return Doubt(
            "The command also runs Django's check without --deploy, and what it printed may be of that one.",
            "Let the plan's command run `check --deploy` only.",
        )
    return Doubt(
        "Nothing shows that Django's check ran with --deploy, and without it the settings are not looked at.",
        "Write `check --deploy` in the plan's command or in a file of the plan's folder that it runs"
        " ($GONOGO_PLAN_DIR/…), or let the command print what it runs (set -x).",
    )


def seen(context: RunContext, arguments: Sequence[str], printed: str) -> list[DjangoCheck]:
    """All checks that the command, the plan's files that it names, and what a shell told of itself run."""
    traced = "\n".join(_XTRACE.findall(printed))
    scripts = [traced, *_files_of_the_plan(context, " ".join(map(_without_comments, arguments)))]
    return [*_of_command(list(arguments)), *(check for script in scripts for check in _of_script(script))]


def _without_comments(script: str) -> str:
    return _COMMENT.sub(lambda found: found[1] or "", script)


def _files_of_the_plan(context: RunContext, written: str) -> Iterator[str]:
    if not context.run.application.plan_folder:
        return
    folder = Path(context.run.application.plan_folder).resolve()
    for name in dict.fromkeys(_NAMES.findall(written)):
        path = (folder / name).resolve()
        if path.is_relative_to(folder) and path.is_file() and path.stat().st_size <= _MAX_SCRIPT_BYTES:
            yield path.read_text("utf-8", "replace")


def _of_script(script: str, depth: int = 0) -> Iterator[DjangoCheck]:
    text = _without_comments(re.sub(r"\\\r?\n", " ", script))
    try:
        commands = list(_commands(text))
    except ValueError:
        # A quote that does not end, as in a text that follows a command; the other lines can still be read.
        commands = [words for line in text.splitlines() for words in _readable(line)]
    for words in commands:
        yield from _of_command(words, depth)


def _readable(line: str) -> list[list[str]]:
    try:
        return list(_commands(line))
    except ValueError:
        return []


def _commands(text: str) -> Iterator[list[str]]:
    """Each simple command as its words, without where its output goes."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=_SIGNS)
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t\r", "", True
    words: list[str] = []
    tokens = iter(lexer)
    for token in tokens:
        if not token or token.strip(_SIGNS):
            words.append(token)
        elif set(token) & set("<>") and "\n" not in token:
            next(tokens, "")
        else:
            yield words
            words = []
    yield words


def _of_command(words: list[str], depth: int = 0) -> Iterator[DjangoCheck]:
    begin = 0
    while begin < len(words) and (words[begin] in _LEADING or _ASSIGNMENT.match(words[begin])):
        begin += 1
    named = words[begin:]
    if named and Path(named[0]).name not in _RUN_NOTHING:
        for index, word in enumerate(named):
            if word == "check" and index:
                yield DjangoCheck(tuple(named[index + 1 :]), any(Path(each).name in _DJANGO for each in named[:index]))
                break
        scripts = words
    else:
        scripts = words[:begin]
    if depth < _MAX_DEPTH:
        # A shell within a command, or a command whose output becomes a value, is written as one word.
        for word in scripts:
            if re.search(r"\s", word):
                yield from _of_script(word.partition("=")[2] if _ASSIGNMENT.match(word) else word, depth + 1)
