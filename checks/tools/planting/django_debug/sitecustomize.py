"""Loaded by the Python of the plan's check command, before the application: leaves DEBUG on, and tells that it did.

A test of the gate puts this folder in front of PYTHONPATH and names a file in GONOGO_PLANTED. Only settings that Django
has read in such a process are changed, and nothing else; no file of the application is. Stays readable for every Python
that a Django of today runs on (3.8 and later).
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any


def plant(file: str) -> None:
    """From now on settings are read as they are, and then DEBUG is on."""
    try:
        from django import conf
    except ImportError:  # not the application's Python, or not yet
        return
    settings: Any = conf.LazySettings
    read = settings._setup

    def _setup(self: Any, *names: Any) -> None:
        read(self, *names)
        self._wrapped.DEBUG = True
        Path(file).touch()

    settings._setup = _setup


def make_way() -> None:
    """Take this folder off the path, and run the sitecustomize that would have run without it."""
    here = Path(__file__).parent.resolve()
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if os.environ.get("GONOGO_PLANTED"):
    plant(os.environ["GONOGO_PLANTED"])
make_way()
