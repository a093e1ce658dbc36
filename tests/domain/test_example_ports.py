"""The fixed ports of the examples, and those that this machine chooses instead."""

from pathlib import Path

import pytest
from django.conf import settings

from checks.examples import WrongPort, example_plan, plan_ports
from checks.plan import parse

EXAMPLES = Path(settings.BASE_DIR) / "examples"


@pytest.mark.parametrize("name", ["thinkincoin", "pretalx"])
def test_a_variable_moves_an_environment_wherever_the_plan_names_its_port(name: str) -> None:
    folder = EXAMPLES / name
    written = plan_ports((folder / "plan.yaml").read_text())
    assert set(written) == {"staging", "production"}
    assert example_plan(folder, {}) == (folder / "plan.yaml").read_text()
    text = example_plan(folder, {f"{name.upper()}_PRODUCTION_PORT": "23456"})
    assert plan_ports(text) == {**written, "production": 23456}
    plan = parse(text)
    assert plan.environments["production"].url == "http://127.0.0.1:23456"
    assert plan.environments["production"].variables["PORT"] == "23456"
    assert str(written["production"]) not in text
    assert plan.environments["staging"].variables["PORT"] == str(written["staging"])


def test_two_environments_may_swap_and_never_share() -> None:
    folder = EXAMPLES / "thinkincoin"
    swapped = {"THINKINCOIN_STAGING_PORT": "18102", "THINKINCOIN_PRODUCTION_PORT": "18101"}
    assert plan_ports(example_plan(folder, swapped)) == {"staging": 18102, "production": 18101}
    with pytest.raises(WrongPort, match="must differ"):
        example_plan(folder, {"THINKINCOIN_STAGING_PORT": "18102"})


@pytest.mark.parametrize("name", ["thinkincoin", "pretalx"])
def test_tls_is_ten_above_and_moves_along(name: str) -> None:
    folder, variables = EXAMPLES / name, {f"{name.upper()}_STAGING_PORT": "23456"}
    plan = parse(example_plan(folder, variables))
    assert plan.checks["audit"].params["tls"]["port"] == 23466
    with pytest.raises(WrongPort, match=rf"{name.upper()}_PRODUCTION_PORT must not be ten above .* TLS at 23466"):
        example_plan(folder, {**variables, f"{name.upper()}_PRODUCTION_PORT": "23466"})


@pytest.mark.parametrize("value", ["x", "80", "70000", "-1", "1e4"])
def test_what_is_no_port_is_named(value: str) -> None:
    with pytest.raises(WrongPort, match=r"THINKINCOIN_STAGING_PORT must be a port from 1024 to 65535"):
        example_plan(EXAMPLES / "thinkincoin", {"THINKINCOIN_STAGING_PORT": value})
