"""Staging and production with ThinkInCoin 1.0 and its learners. See ../../hosting/prepare.py."""

import sys
from collections.abc import Mapping
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(EXAMPLE.parent / "hosting"), str(EXAMPLE)]

from home import Home, OpsError  # noqa: E402
from prepare import Example, prepare  # noqa: E402

from build import VERSIONS, build  # noqa: E402 - found only after the line above

VERSION = "1.0"
# Staging has learners of its own, as the trial of a new course would leave them; they are not those of production.
LEARNERS = {"staging": ("60", "11", "beta.example"), "production": ("400", "7", "learners.example")}

#: With whom the security audit logs in to staging; the plan's transition leaves this domain out.
AUDIT_EMAIL = "audit@audit.invalid"


def settings(environment: str, home: Home, address: str, secret: str) -> Mapping[str, str]:
    users, number, domain = LEARNERS[environment]
    audit = {"AUDIT_EMAIL": AUDIT_EMAIL} if environment == "staging" else {}
    return {
        **audit,
        "ADMINISTRATOR_EMAIL": f"robin@{domain}",
        "SEED_USERS": users,
        "SEED_NUMBER": number,
        "SEED_DOMAIN": domain,
    }


def server(variables: Mapping[str, str]) -> Mapping[str, str]:
    return {
        "DATABASE_URL": variables["DATABASE_URL"],
        "SECRET_KEY": variables["SECRET_KEY"],
        "STATIC_ROOT": "{RELEASE_DIR}/static",
    }


def archive(root: Path) -> Path:
    """Make the builds of all versions where the plan looks for them, and return the old one."""
    for version in VERSIONS:
        build(version, EXAMPLE / "dist" / f"thinkincoin-{version}.tar")
    return EXAMPLE / "dist" / f"thinkincoin-{VERSION}.tar"


if __name__ == "__main__":
    try:
        prepare(
            Example(
                folder=EXAMPLE,
                version=VERSION,
                wsgi_module="thinkincoin.wsgi",
                health_path="/healthz",
                build=archive,
                settings=settings,
                server=server,
                with_tls=("staging",),
            )
        )
    except (OpsError, OSError) as error:
        sys.exit(f"prepare: {error}")
