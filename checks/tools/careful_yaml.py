"""YAML from strangers: texts, lists and mappings, and nothing that costs more than its length."""

from typing import Any, Final

import yaml

_LOADER: Final[Any] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
MAX_DEPTH: Final = 50


def read(data: bytes | str) -> Any:
    """Every leaf as text, so that the version 5.10 stays what it is. ValueError with a sentence.

    Looked over event by event first: libyaml's own loader ends the process where a text is nested deeply enough, and
    references could multiply.
    """
    try:
        _look_over(data)
        return yaml.load(data, Loader=_LOADER)  # noqa: S506 - a base loader makes texts, lists and mappings only
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _look_over(data: bytes | str) -> None:
    depth = 0
    for event in yaml.parse(data, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it refers to a part of itself")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
