"""What differs between the two examples: versions, builds, tables, and how each is prepared."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checks.examples import WrongPort, example_plan, plan_ports
from config.demo import learners, speakers
from config.demo.acceptance import Walk
from config.demo.shell import child_environment, relative
from config.services.home import BASE_DIR, Home

if TYPE_CHECKING:
    from checks.plan import Plan
    from config.demo.journey import Journey

PREPARE_SECONDS = 1500
ALERT_SECONDS = 90.0
_RECEIPT = re.compile(r"/monitoring/receipts?/([A-Za-z0-9_-]+)")
# The order in which a person would run them: what is quick and likely to fail first.
_KINDS = ("smoke", "suite", "privacy", "backup", "drill", "migration", "transition")


class NotReady(Exception):
    """The demonstration cannot begin; the text says why and what to do."""


@dataclass(frozen=True)
class Example:
    """One application below ``examples/``.

    ``tables``: what its data are, in few words. ``changes``: what the new version's own migrations change: tables, and
    columns as ``table.column``, each with its reason. Everything else must be in production as it was, row by row, and
    after the rollback all of it. ``walks``: how to walk the plan's cases of acceptance; ``domain``: of whom walks them.
    """

    name: str
    old_version: str
    new_version: str
    page: str
    tables: tuple[str, ...]
    walks: Mapping[str, Walk]
    domain: str
    changes: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return BASE_DIR / "examples" / self.name

    def build(self, version: str) -> Path:
        """The one file that is the build of this version; made where the example makes it from its sources."""
        maker = self.folder / "build.py"
        if not maker.exists():
            return self.folder / "builds" / f"{version}.txt"
        target = Home().root / "work" / f"{self.name}-{version}.tar"
        target.parent.mkdir(parents=True, exist_ok=True)
        made = subprocess.run(
            [sys.executable, str(maker), version, str(target)], capture_output=True, text=True, timeout=300, check=False
        )
        if made.returncode:
            raise NotReady(f"{relative(maker)} {version} made no build: {made.stdout} {made.stderr}")
        return target

    def digest(self, version: str) -> str:
        return hashlib.sha256(self.build(version).read_bytes()).hexdigest()

    def prepare(self, home: Home) -> dict[str, dict[str, str]]:
        """Bring staging and production to the old version, with data; the variables of both environments."""
        root = home.root / "examples" / self.name
        root.mkdir(parents=True, exist_ok=True)
        addresses = json.loads(home.addresses.read_text(encoding="utf-8")) if home.addresses.exists() else {}
        status = json.loads(home.status.read_text(encoding="utf-8"))
        log = home.logs / f"demo-{self.name}.log"
        environment = child_environment(
            GONOGO_DEMO_DSN=addresses["DATABASE_URL"],
            HOSTING_ROOT=str(root),
            HOSTING_WITH_PID=str(status["pid"]),
            **{f"{name.upper()}_PORT": str(port) for name, port in self._ports().items()},
        )
        with log.open("ab") as output:
            done = subprocess.run(
                [sys.executable, str(self.folder / "ops" / "prepare.py")],
                env=environment, stdout=output, stderr=subprocess.STDOUT, timeout=PREPARE_SECONDS, check=False,
            )  # fmt: skip
        if done.returncode:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise NotReady(f"The old version could not be brought up; {relative(log)} ends with:\n{tail}")
        found: dict[str, dict[str, str]] = json.loads((root / "environments.json").read_text(encoding="utf-8"))
        return found

    def plan_text(self) -> str:
        """The plan as the program publishes it: at the ports that the variables of the environment name."""
        try:
            return example_plan(self.folder, os.environ)
        except WrongPort as error:
            raise NotReady(f"{error} Nothing was started.") from error

    def _ports(self) -> dict[str, int]:
        return plan_ports(self.plan_text())

    def running_version(self, facts: dict[str, str]) -> str:
        """The version that the environment's `current` points at."""
        current = Path(facts["APP_HOME"]) / "current"
        return current.resolve().name.rsplit("-", 1)[0]

    def check_order(self, plan: "Plan") -> list[str]:
        order = {kind: place for place, kind in enumerate(_KINDS)}
        return sorted(plan.checks, key=lambda key: order.get(plan.checks[key].kind, len(order)))

    def option(self, page: str, field: str, wanted: str) -> str:
        """The value of the option that says ``wanted`` in a select of a page."""
        select = re.search(rf'<select[^>]*name="{field}".*?</select>', page, re.DOTALL)
        for value, text in re.findall(r'<option value="([^"]*)"[^>]*>([^<]*)<', select.group(0) if select else ""):
            if text.strip() == wanted:
                return str(value)
        raise NotReady(f"The form offers no {field} called {wanted!r}.")

    def acknowledge_alert(self, journey: "Journey", home: Home) -> str:
        """Send a test alert as a person, wait until it lies in the mail folder, and confirm its receipt."""
        started = time.time()
        journey.person("manager").submit(f"/monitoring/releases/{journey.release}/test-alert")
        code = self._receipt(home.root / "mail", started - 1)
        journey.person("administrator").submit(f"/monitoring/receipts/{code}/")
        return f"delivered and confirmed in {time.time() - started:.0f} s"

    @staticmethod
    def _receipt(folder: Path, since: float) -> str:
        end = time.monotonic() + ALERT_SECONDS
        while time.monotonic() < end:
            for mail in sorted(folder.glob("*"), key=lambda path: path.stat().st_mtime, reverse=True):
                if mail.stat().st_mtime >= since:
                    match = _RECEIPT.search(mail.read_text(encoding="utf-8", errors="replace").replace("=\n", ""))
                    if match:
                        return match.group(1)
            time.sleep(0.5)
        raise NotReady(f"No test alert reached {folder} within {ALERT_SECONDS:.0f} s; see the prober's log.")


_MAIL_ROLES = "the templates of mail say themselves what they are for"
EXAMPLES: dict[str, Example] = {
    "thinkincoin": Example(
        "thinkincoin",
        "1.0",
        "1.1",
        "/",
        ("accounts_user", "courses_progress"),
        learners.WALKS,
        "learners.example",
        changes={
            "accounts_preferences.news": "digest says how often in its place",
            "courses_course.byline": "each name of it is an author now",
            "courses_progress.state": "completed_at says it in its place",
        },
    ),
    "pretalx": Example(
        "pretalx",
        "2024.3.1",
        "2025.2.2",
        "/democon/",
        ("person_user", "submission_submission", "event_event"),
        speakers.WALKS,
        "acceptance.invalid",
        changes={
            "common_activitylog.data": "a migration writes {} where there was nothing",
            "event_event.accept_template_id": _MAIL_ROLES,
            "event_event.ack_template_id": _MAIL_ROLES,
            "event_event.question_template_id": _MAIL_ROLES,
            "event_event.reject_template_id": _MAIL_ROLES,
            "event_event.update_template_id": _MAIL_ROLES,
            "submission_submission_speakers": "submission_speakerrole takes its place",
            "submission_tag.public": "it is called is_public",
        },
    ),
}


def refuse_second_walk(released: list[dict[str, Any]], example: Example, address: str) -> None:
    """The old version must still be there to be replaced."""
    for release in released:
        same = release["application"] == example.name and release["version"] == example.new_version
        if same and release["state"] != "cancelled":
            raise NotReady(
                f"{example.name} {example.new_version} was walked here already: "
                f"{address}/releases/{release['id']}/. "
                "To walk it again, stop the program (make down), delete .gonogo and start anew."
            )
