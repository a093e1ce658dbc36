"""Staging and production with pretalx 2024.3.1 and the event `democon`. See ../../hosting/prepare.py."""

import configparser
import io
import sys
from collections.abc import Mapping
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(EXAMPLE.parent / "hosting"))

from command import database_variables  # noqa: E402 - found only after the line above
from home import Home, OpsError, write_atomically  # noqa: E402
from prepare import Example, prepare  # noqa: E402

VERSION = "2024.3.1"
#: The load test's speakers submit with it (see load.py), although the call for papers is over.
LOAD_ACCESS_CODE = "LOADTEST"
#: With whom the security audit logs in to staging; the plan's transition leaves this domain out.
AUDIT_EMAIL = "audit@audit.invalid"
# Staging has speakers of its own, who tried the release; they are not those of production.
SEEDS = {"staging": "11", "production": "7"}


def settings(environment: str, home: Home, address: str, secret: str) -> Mapping[str, str]:
    """Write pretalx.cfg of the environment and return the variables that are pretalx's own."""
    configuration = configparser.RawConfigParser()
    configuration["filesystem"] = {"data": str(home.data), "logs": str(home.root / "log")}
    configuration["site"] = {"url": address, "secret": secret, "debug": "False"}
    configuration["mail"] = {"from": f"{environment}@example.org"}
    text = io.StringIO()
    configuration.write(text)
    write_atomically(home.root / "pretalx.cfg", text.getvalue(), mode=0o600)
    of_staging = {"LOAD_ACCESS_CODE": LOAD_ACCESS_CODE, "AUDIT_EMAIL": AUDIT_EMAIL} if environment == "staging" else {}
    return {
        **of_staging,
        "PRETALX_CONFIG_FILE": str(home.root / "pretalx.cfg"),
        "ADMINISTRATOR_EMAIL": "administrator@example.org",
        "SEED_NUMBER": SEEDS[environment],
    }


def server(variables: Mapping[str, str]) -> Mapping[str, str]:
    return {
        **database_variables(variables["DATABASE_URL"]),
        "PRETALX_CONFIG_FILE": variables["PRETALX_CONFIG_FILE"],
        "PRETALX_FILESYSTEM_STATIC": "{RELEASE_DIR}/static",
    }


def lock_of(root: Path) -> Path:
    """The build of pretalx is its lock: it names every artifact by hash."""
    return EXAMPLE / "builds" / f"{VERSION}.txt"


if __name__ == "__main__":
    try:
        prepare(
            Example(
                folder=EXAMPLE,
                version=VERSION,
                wsgi_module="pretalx.wsgi",
                health_path="/",
                build=lock_of,
                settings=settings,
                server=server,
                with_tls=("staging",),
            )
        )
    except (OpsError, OSError) as error:
        sys.exit(f"prepare: {error}")
