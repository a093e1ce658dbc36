"""The launch form of a run, made from its kind's parameters, and the forms of the decisions about a run."""

import json
import uuid
from datetime import timedelta
from typing import Any, Literal, get_args, get_origin

from django import forms
from django.core.exceptions import ValidationError as FormError
from django.core.files.storage import default_storage
from django.utils.text import get_valid_filename
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from checks.kinds.base import Kind
from checks.plan import read_duration

_SCALARS = (str, int, float, bool, timedelta)


class DurationField(forms.CharField):
    """Takes 30s, 10m, 1h 30m or 7d."""

    def to_python(self, value: Any) -> str:
        text = str(super().to_python(value) or "").strip()
        if text:
            try:
                read_duration(text)
            except ValueError as error:
                raise FormError(str(error).capitalize() + ".") from None
        return text


def _plain_type(field: FieldInfo) -> Any:
    """The type of a field without Optional; None where it is not a scalar."""
    if get_origin(field.annotation) is Literal:
        return field.annotation
    if get_origin(field.annotation) in (list, dict, tuple, set):
        return None
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 and isinstance(kinds[0], type) and issubclass(kinds[0], _SCALARS) else None


def _shown(value: Any) -> Any:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    return value


def form_field(name: str, field: FieldInfo, initial: Any) -> forms.Field | None:
    """The form field for one parameter; None for parameters that only the plan can set (commands, lists)."""
    plain = _plain_type(field)
    words: dict[str, Any] = {
        "label": field.title or name.replace("_", " ").capitalize(),
        "help_text": field.description or "",
        "required": False,
        "initial": _shown(initial),
    }
    if plain is None:
        return None
    if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("upload"):
        # The parameter is a name in storage; here a person chooses the file itself, and the name is made.
        told = words["help_text"].replace("The name in storage of a", "A", 1)
        return forms.FileField(**{**words, "initial": None, "help_text": told})
    if get_origin(plain) is Literal:
        return forms.ChoiceField(choices=[(value, str(value)) for value in get_args(plain)], **words)
    if plain is bool:
        return forms.BooleanField(**words)
    if plain is timedelta:
        return DurationField(**words)
    if plain is int:
        return forms.IntegerField(**words)
    if plain is float:
        return forms.FloatField(**words)
    return forms.CharField(max_length=1000, **words)


def _defaults(kind: Kind, planned: dict[str, Any]) -> BaseModel | None:
    """As the plan sets them. None for a plan of before that is no longer accepted: the form says so when it is sent."""
    try:
        return kind.Params.model_validate(planned) if kind.is_check else kind.Params()
    except ValidationError:
        return None


def _takes_file(kind: Kind, planned: dict[str, Any], name: str) -> bool:
    """Whether the plan lets an uploaded file answer here."""
    try:
        kind.Params.model_validate({**planned, name: "uploaded"})
    except ValidationError:
        return False
    return True


class LaunchForm(forms.Form):
    """Parameters of one run. What is left as the plan says is not sent, so that the plan stays the source."""

    def __init__(self, kind: Kind, planned: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind
        self.planned = planned
        defaults = _defaults(kind, planned)
        for name, field in kind.Params.model_fields.items() if defaults else ():
            made = form_field(name, field, getattr(defaults, name))
            if isinstance(made, forms.FileField) and not _takes_file(kind, planned, name):
                continue
            if made is not None:
                self.fields[name] = made

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.files_of_params = {
            name: value
            for name, value in cleaned.items()
            if isinstance(self.fields.get(name), forms.FileField) and value
        }
        params = {
            name: value
            for name, value in cleaned.items()
            if name in self.changed_data and name not in self.files_of_params and value not in ("", None)
        }
        try:
            self.kind.Params.model_validate({**self.planned, **params})
        except ValidationError as error:
            for problem in error.errors():
                name = str(problem["loc"][0]) if problem["loc"] else None
                self.add_error(name if name in self.fields else None, f"{problem['msg']}.")
        self.params = params
        return cleaned

    def store_files(self, folder: str, kept: list[str]) -> dict[str, str]:
        """Keep uploaded files below ``folder`` in storage; parameter name -> its name, which ``kept`` gets too."""
        stored = {}
        for name, value in self.files_of_params.items():
            where = f"{folder}/{uuid.uuid4()}-{get_valid_filename(value.name)[-80:]}"
            stored[name] = default_storage.save(where, value)
            kept.append(stored[name])
        return stored


class DecisionForm(forms.Form):
    """What really happened to a run whose worker died."""

    outcome = forms.ChoiceField(
        choices=[("passed", "It was completed"), ("failed", "It was not completed")],
        widget=forms.RadioSelect,
        label="What happened?",
    )
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=2000,
        label="How do you know?",
        help_text="Kept in the ledger with your name.",
    )


class DeployForm(forms.Form):
    """Where a deploy starts, after a step failed: again at that step, or past it with a reason.

    ``manifest_digest``: the evidence that the page showed; a launch on other evidence is refused.
    """

    manifest_digest = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    resume = forms.CharField(required=False, widget=forms.HiddenInput)
    skip = forms.CharField(required=False, widget=forms.HiddenInput)
    reason = forms.CharField(required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2}), label="Reason")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("skip") and not (cleaned.get("reason") or "").strip():
            self.add_error("reason", "Say why this step may be skipped.")
        return cleaned


def pretty(params: BaseModel | dict[str, Any]) -> str:
    """Parameters as people read them on a page."""
    data = params.model_dump(mode="json") if isinstance(params, BaseModel) else params
    return json.dumps(data, indent=2, ensure_ascii=False)
