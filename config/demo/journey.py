"""The steps of one go-live, in order, each by the person whose work it is."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID

import httpx

from checks.plan import Plan, parse
from config.demo import acceptance, data
from config.demo.examples import Example
from config.demo.pages import fields
from config.demo.person import Person, Refused, release_of
from config.services.home import BASE_DIR, Home

RUN_SECONDS = 900.0
APPROVERS = ("release-management", "engineering", "security")


class Broken(Exception):
    """A step did not end as it must; the text says what was seen."""


class Journey:
    """Walks one release of an example from the old version to the new one, back, and forward again."""

    def __init__(self, example: Example, home: Home, address: str) -> None:
        self.example = example
        self.home = home
        self.address = address
        self.plan: Plan = parse(example.plan_text())
        self.passwords: dict[str, str] = json.loads(home.passwords.read_text(encoding="utf-8"))
        self.people: dict[str, Person] = {}
        self.release: UUID | None = None
        self.facts: dict[str, dict[str, str]] = {}
        self.old_data: dict[str, data.Table] = {}

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """(title, deed) in order; a deed returns what was seen, or raises."""
        return [
            ("The old version runs in production and staging, with data", self.prepare),
            ("Everybody logs in; the administrator keeps the secrets", self.log_in),
            ("The release manager says what runs already", self.adopt),
            ("The release manager makes the release and begins the rehearsal", self.create),
            ("The gate is closed while nothing is known", self.gate_is_closed),
            ("An engineer deploys to staging, back, and again", self.rehearse),
            ("The checks of the plan run", self.run_checks),
            ("The cases of acceptance are walked in staging", self.walk_cases),
            ("People sign what only people can know", self.sign),
            ("A test alert reaches the administrators", self.alert),
            ("The window is scheduled and the poll opened", self.schedule),
            ("A deploy before the votes is refused", self.deploy_is_refused),
            ("Three people vote", self.vote),
            ("The release manager deploys", self.deploy),
            ("The new version answers in production, with the old data", self.new_version_answers),
            ("The release is watched, then live", self.watch),
            ("The ledger verifies", self.verify_ledger),
            ("The release is rolled back", self.roll_back),
            ("The old version is back with its data", self.old_version_answers),
            ("Everybody votes anew and it is deployed again", self.again),
            ("The ledger verifies again", self.verify_ledger),
        ]

    # --- people and pages

    def person(self, name: str) -> Person:
        if name not in self.people:
            email = f"{name}@gonogo.example"
            self.people[name] = Person(self.address, email, self.passwords[email])
        return self.people[name]

    @property
    def page(self) -> str:
        return f"/releases/{self.release}"

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.person("manager").open(f"/api/releases/{self.release}").json()
        return found

    def wait_for_state(self, wanted: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (state := self.state()["state"]) != wanted:
            if time.monotonic() > end:
                raise Broken(f"the release is {state}, not {wanted}, after {seconds:.0f} s")
            time.sleep(0.5)

    def run(self, who: str, path: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
        """Start a run and wait; it must pass."""
        person = self.person(who)
        run = person.wait(person.start(path, data), RUN_SECONDS)
        if run["state"] != "passed":
            raise Broken(f"{run['title']} {run['state']}: {run['error'] or run['summary']} {run['remedy']}".strip())
        return run

    # --- steps

    def prepare(self) -> str:
        facts = self.example.prepare(self.home)
        self.facts = facts
        self.old_data = data.read(self.facts["production"]["DATABASE_URL"])
        answer = httpx.get(self.plan.environment("production").url + self.example.page, timeout=30)
        if answer.status_code != 200:
            raise Broken(f"production answers {answer.status_code}")
        seen = data.count(self.old_data, self.example.tables)
        if not all(self.old_data[table].rows for table in self.example.tables):
            raise Broken(f"production holds no data: {seen}")
        return f"{self.example.old_version} answers; {seen}"

    def log_in(self) -> str:
        names = [email.split("@")[0] for email in self.passwords]
        for name in names:
            self.person(name)
        secrets = self._secrets()
        for name, value in secrets.items():
            path = f"/applications/{self.plan.application}/secrets/"
            self.person("administrator").submit(path, {"name": name, "value": value})
        return f"{len(names)} people, {len(secrets)} secrets"

    def _secrets(self) -> dict[str, str]:
        """What the plan's environments need, and the account with which its audits log in."""
        found = {
            name: self.facts[place][variable]
            for place, section in self.plan.environments.items()
            for variable, name in section.secrets.items()
        }
        for check in self.plan.checks.values():
            if check.kind == "audit" and check.params.get("authentication"):
                login, facts = check.params["authentication"]["login"], self.facts[check.environment]
                found |= {login["user"]: facts["AUDIT_EMAIL"], login["password"]: facts["AUDIT_PASSWORD"]}
        return found

    def adopt(self) -> str:
        digest = self.example.digest(self.example.old_version)
        for place in self.plan.environments:
            self.person("manager").submit(
                f"/applications/{self.plan.application}/environments/{place}/adopt/",
                {"version": self.example.old_version, "build_digest": digest, "reason": "Installed before Go/No-Go."},
            )
        return f"{self.example.old_version}, sha256:{digest[:12]}"

    def create(self) -> str:
        manager = self.person("manager")
        form = manager.open("/releases/new/").text
        build = self.example.build(self.example.new_version)
        with build.open("rb") as content:
            answer = manager.submit(
                "/releases/new/",
                {
                    "application": self.example.option(form, "application", self.application_name()),
                    "version": self.example.new_version,
                    "source_environment": self.example.option(
                        form, "source_environment", f"{self.plan.application} staging"
                    ),
                    "target_environment": self.example.option(
                        form, "target_environment", f"{self.plan.application} production"
                    ),
                    "notes": f"From {self.example.old_version} to {self.example.new_version}.",
                },
                files={"build": (build.name, content)},
            )
        self.release = release_of(answer)
        manager.submit(f"{self.page}/rehearse")
        return f"{self.address}{self.page}/"

    def application_name(self) -> str:
        page = self.person("manager").open(f"/applications/{self.plan.application}/").text
        return unescape(page.partition("<h1>")[2].partition("</h1>")[0])

    def gate_is_closed(self) -> str:
        found = self.state()
        if found["verdict"] == "go":
            raise Broken("the gate is open although nothing was checked")
        return f"{found['verdict']}, {len(found['blockers'])} things block"

    def rehearse(self) -> str:
        seconds = []
        for what in ("deploy", "rollback", "deploy"):
            started = time.monotonic()
            self.run("engineer", f"/runs/release/{self.release}/{what}?environment=staging")
            seconds.append(f"{what} {time.monotonic() - started:.0f} s")
        return ", ".join(seconds)

    def run_checks(self) -> str:
        seen = []
        for key in self.example.check_order(self.plan):
            run = self.run("engineer", f"/runs/release/{self.release}/start/checks.{key}")
            seen.append(f"{key}: {run['summary']}")
        return " | ".join(seen)

    def walk_cases(self) -> str:
        """Each case of the plan, done for real in staging; an engineer keeps what was seen as its verdict."""
        cases = self.plan.acceptance.cases if self.plan.acceptance else []
        walks = acceptance.Walks(self.plan.environment("staging").url, self.example.walks, self.example.domain)
        for case in cases:
            seen = walks.walk(case.key)
            page, engineer = f"{self.page}/acceptance/{case.key}/", self.person("engineer")
            held = fields(engineer.open(page).text, page)
            data = {"verdict": "passed", "note": f"Walked by the demonstration: {seen}."}
            engineer.submit(page, {**held, **data})
        item = next((item for item in self.state()["items"] if item["key"] == "testing.acceptance"), None)
        if cases and (item is None or item["state"] != "passed"):
            raise Broken(f"every case was walked, and yet acceptance is {item and item['state']}")
        return f"{len(cases)} cases"

    def sign(self) -> str:
        signed = 0
        for item in self.state()["items"]:
            if not item["section"] and not item["receipt"] and item["state"] != "passed":
                data = {"passed": "yes", "statement": f"Looked at for the demonstration: {item['title']}."}
                files = None
                if item["attested"]:
                    data["valid_until"] = f"{datetime.now(UTC) + timedelta(days=90):%Y-%m-%dT%H:%M}"
                    files = {"attachment": ("demonstration.txt", b"A demonstration: no disk was looked at.\n")}
                self.person("engineer").submit(f"{self.page}/items/{item['key']}/sign-off/", data, files)
                signed += 1
        return f"{signed} items"

    def alert(self) -> str:
        return self.example.acknowledge_alert(self, self.home)

    def schedule(self) -> str:
        now = datetime.now(UTC)
        opens, closes = now - timedelta(minutes=1), now + timedelta(hours=4)
        form = "%Y-%m-%dT%H:%M"
        self.person("manager").submit(
            f"{self.page}/window/",
            {"opens": (opens + timedelta(minutes=1)).strftime(form), "closes": closes.strftime(form)},
        )
        self.person("manager").submit(f"{self.page}/poll")
        blocking = [each for each in self.state()["blockers"] if not each["code"].startswith("vote_")]
        if blocking:
            raise Broken("; ".join(f"{each['title']}: {each['text']}" for each in blocking))
        return f"until {closes:%H:%M} UTC; only votes are missing"

    def deploy_is_refused(self) -> str:
        try:
            self.person("manager").start(f"/runs/release/{self.release}/deploy")
        except Refused as refusal:
            return str(refusal)
        raise Broken("a deploy without votes was started")

    def vote(self) -> str:
        for name in APPROVERS:
            digest = self.state()["manifest_digest"]
            self.person(name).submit(
                f"{self.page}/vote/", {"station": name, "choice": "go", "comment": "", "manifest_digest": digest}
            )
        found = self.state()
        if found["verdict"] != "go":
            raise Broken("; ".join(each["text"] for each in found["blockers"]))
        return f"snapshot {found['manifest_digest'][:12]}, {found['state']}"

    def deploy(self) -> str:
        run = self.run("manager", f"/runs/release/{self.release}/deploy")
        return str(run["summary"])

    def new_version_answers(self) -> str:
        return self._answers(self.example.new_version, self.example.changes)

    def old_version_answers(self) -> str:
        return self._answers(self.example.old_version, {})

    def _answers(self, version: str, changing: dict[str, str]) -> str:
        url = self.plan.environment("production").url
        for request in self.plan.deploy.smoke:
            answer = httpx.get(url + request.path, timeout=30, follow_redirects=False)
            if answer.status_code != request.status:
                raise Broken(f"{request.path} answers {answer.status_code}, not {request.status}")
        running = self.example.running_version(self.facts["production"])
        if running != version:
            raise Broken(f"production runs {running}, not {version}")
        now = data.read(self.facts["production"]["DATABASE_URL"])
        if lost := list(data.differences(self.old_data, now, changing)):
            raise Broken(f"production does not hold what it held: {'; '.join(lost[:20])}; {len(lost):,} differences")
        rows = sum(len(table.rows) for table in self.old_data.values())
        kept = f"{rows:,} rows of {len(self.old_data)} tables as before"
        return f"{version} answers; {data.count(now, self.example.tables)}; {kept}"

    def watch(self) -> str:
        started = time.monotonic()
        self.wait_for_state("live", self.plan.watch.duration.total_seconds() * 3 + 60)
        return f"live after {time.monotonic() - started:.0f} s"

    def verify_ledger(self) -> str:
        answer = self.person("auditor").submit("/ledger/verify")
        for _ in range(240):
            if "Verified" in answer.text:
                break
            if "Broken" in answer.text or "Errored" in answer.text:
                raise Broken("the ledger does not verify")
            time.sleep(0.5)
            answer = self.person("auditor").submit(answer.url.path)
        else:
            raise Broken("the verification did not end within two minutes")
        return self._verify_offline()

    def _verify_offline(self) -> str:
        """As an auditor would: the downloaded chain and one file of Python, without this program."""
        bundle = self.home.root / "work" / f"ledger-{self.release}.zip"
        bundle.write_bytes(self.person("auditor").submit("/ledger/chain").content)
        verifier = BASE_DIR / "releases" / "verify_ledger.py"
        done = subprocess.run(
            [sys.executable, "-I", str(verifier), str(bundle)], capture_output=True, text=True, timeout=300, check=False
        )
        bundle.unlink()
        if done.returncode:
            raise Broken(f"the offline verifier says: {done.stdout.strip()} {done.stderr.strip()}")
        return done.stdout.strip().splitlines()[0]

    def roll_back(self) -> str:
        run = self.run("manager", f"/runs/release/{self.release}/rollback", {"reason": "The demonstration goes back."})
        self.wait_for_state("rolled_back", 30)
        return str(run["summary"])

    def again(self) -> str:
        self.person("manager").submit(f"{self.page}/reopen/", {"reason": "The demonstration goes forward again."})
        if self.state()["verdict"] == "go":
            raise Broken("votes of before the rollback count")
        if not self.poll_is_open():
            self.person("manager").submit(f"{self.page}/poll")
        self.vote()
        self.deploy()
        self.new_version_answers()
        self.watch()
        return f"{self.example.new_version} is live again"

    def poll_is_open(self) -> bool:
        return not any(each["code"] == "poll_closed" for each in self.state()["blockers"])
