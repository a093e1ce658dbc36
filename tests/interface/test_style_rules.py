"""Rules that every template and style sheet of the program keeps."""

import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
SCRIPTS = sorted((ROOT / "static" / "js").glob("*.js"))
SHEETS = sorted((ROOT / "static" / "css").glob("*.css"))
TOKENS = (ROOT / "static" / "css" / "tokens.css").read_text(encoding="utf-8")

STYLE = re.compile(r"<style|\sstyle\s*=", re.IGNORECASE)
HANDLER = re.compile(r"\son[a-z]+\s*=\s*[\"']|javascript:|hx-on", re.IGNORECASE)
INLINE_SCRIPT = re.compile(r"<script(?![^>]*\ssrc=)(?![^>]*type=\"application/json\")", re.IGNORECASE)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", TEMPLATES, ids=relative)
def test_a_template_has_no_inline_code(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for rule in (STYLE, HANDLER, INLINE_SCRIPT):
        assert not rule.search(text), f"{relative(path)}: {rule.search(text)}"


@pytest.mark.parametrize("path", SCRIPTS, ids=relative)
def test_a_script_needs_nothing_that_the_policy_refuses(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\beval\(|new Function\(|\.style\.|setAttribute\(\"style\"|https?://", text)


@pytest.mark.parametrize("path", SHEETS, ids=relative)
def test_colours_come_from_the_tokens(path: Path) -> None:
    if path.name in ("tokens.css", "log.css", "print.css"):
        pytest.skip("the log and paper have colours of their own")
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"#[0-9a-fA-F]{3,8}\b", text)
    assert set(found) <= {"#fff"}, found


@pytest.mark.parametrize("path", SHEETS, ids=relative)
def test_a_sheet_loads_nothing_from_elsewhere(path: Path) -> None:
    assert not re.search(r"@import|url\(", path.read_text(encoding="utf-8"))


def token(name: str, theme: int) -> tuple[float, float, float]:
    match = re.search(rf"--{name}: light-dark\((#[0-9a-f]{{6}}), (#[0-9a-f]{{6}})\)", TOKENS)
    assert match, name
    colour = match[theme + 1].lstrip("#")
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4))
    return red, green, blue


def luminance(colour: tuple[float, float, float]) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


TONES = ("go", "hold", "nogo", "idle", "live")
PAIRS = [(tone, f"{tone}-soft") for tone in TONES] + [(tone, "surface") for tone in TONES]
PAIRS += [(ink, ground) for ink in ("ink", "muted", "accent") for ground in ("paper", "surface", "raised")]
PAIRS += [("on-accent", "accent"), ("ink", "nogo-soft"), ("ink", "hold-soft"), ("ink", "go-soft"), ("ink", "live-soft")]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_can_be_read_on_its_ground(text: str, ground: str, theme: int) -> None:
    assert contrast(token(text, theme), token(ground, theme)) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["line-strong", *(f"fill-{tone}" for tone in TONES if tone not in ("hold", "idle"))])
def test_borders_of_fields_and_fills_stand_out(name: str, theme: int) -> None:
    assert contrast(token(name, theme), token("surface", theme)) >= 3
