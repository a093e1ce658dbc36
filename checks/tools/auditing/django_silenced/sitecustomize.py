"""Loaded by the Python of the plan's check command, before the application: tells what Django's check held back.

The look at Django's settings puts this folder in front of PYTHONPATH and names a file in GONOGO_SILENCED_FILE; each
check for deployment writes one JSON list there, of every message that the settings silence. Nothing of the application
is changed, and whatever goes wrong in here leaves it as it is: then nothing is told.

Stays readable for every Python that a Django of today runs on (3.8 and later).
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

TARGET = "django.core.management.base"
FILE = os.environ.get("GONOGO_SILENCED_FILE", "")


def patch(module: Any) -> None:
    """From now on a check for deployment tells which of its messages are silenced, once it is done."""
    from django.core.checks import CheckMessage

    held: list[Any] = []
    asked, check = CheckMessage.is_silenced, module.BaseCommand.check

    def is_silenced(self: Any) -> bool:
        answer = bool(asked(self))
        if answer and not any(self is each for each in held):
            held.append(self)
        return answer

    def told(self: Any, *arguments: Any, **named: Any) -> Any:
        del held[:]
        try:
            return check(self, *arguments, **named)
        finally:
            if named.get("include_deployment_checks"):
                # A message is the application's own, and its text may be anything, such as a question to the database.
                with contextlib.suppress(Exception):
                    line = json.dumps([[each.level, str(each)] for each in held])
                    with Path(FILE).open("a", encoding="utf-8") as file:
                        file.write(line + "\n")

    CheckMessage.is_silenced, module.BaseCommand.check = is_silenced, told  # type: ignore[method-assign]


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
            with contextlib.suppress(Exception):
                patch(module)

        with contextlib.suppress(Exception):
            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
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
