"""A shop whose deploy moves people and words, whose rollback takes them out, and whose plan settles what is kept."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from checks import engine, services
from checks.models import Run
from releases.domain import deploy as releases
from releases.domain import environment as environments
from releases.models import Environment, Release, User
from tests.factories import check, make_approved, make_release, make_team
from tests.kinds_data.people import TABLES, People, people
from tests.kinds_data.support import log_of
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.kinds_deploy.support import OLD, Shop, step

SMOKE = [{"path": "/"}]
MOVE = {"key": "people", "title": "Move the people", "category": "database", "transition": "people"}
MOVE_WORDS = {"key": "words", "title": "Move the words", "category": "database", "transition": "words"}
#: Nothing recognises a word, so that only what is kept keeps one from coming twice.
WORDS = {"table": "word", "same": ["a"]}
WORD = "CREATE TABLE word (id serial PRIMARY KEY, a text); INSERT INTO word (a) VALUES ('x'), ('y')"
MORE_PEOPLE = """
    INSERT INTO person (email, name, points, joined, team_id) VALUES ('new@example.org', 'New', 5, '2026-02-01Z', 1);
    UPDATE person SET points = points + 200 WHERE id IN (2, 3);
    DELETE FROM preferences WHERE person_id = 5;
    INSERT INTO preferences (person_id, theme, news) VALUES (31, 'dark', true)
"""
SETTLE = {"transition": "people", "keep_days": 30}


class World:
    """``shop``: the newest release and who works on it. ``data``: its two databases."""

    def __init__(self, shop: Shop, data: People) -> None:
        self.shop, self.data = shop, data

    def settle(self, actor: User | None = None, section: str = "checks.settle", **params: Any) -> Run:
        run = self.queued(actor, section, **params)
        engine.execute(run.pk)
        return engine.load(run.pk)

    def queued(self, actor: User | None = None, section: str = "checks.settle", **params: Any) -> Run:
        return services.start_run(
            application=self.shop.application, section=section, actor=actor or self.shop.team.engineer, params=params
        )

    def deployed(self) -> Run:
        run = self.shop.deploy()
        assert run.state == "passed", (run.error, run.summary)
        return run

    def live(self) -> None:
        releases.went_live(release=self.shop.fresh())

    def next_release(self, version: str = "3.0") -> None:
        shop = self.shop
        release = make_release(application=shop.application, requester=shop.team.engineer, version=version)
        make_approved(release, shop.team)
        self.shop = Shop(shop.application, shop.team, release, shop.folder, shop.server)

    def age(self, days: float = 40) -> None:
        """As if everything that stands had been moved so long ago."""
        self.data.sql(f"UPDATE gonogo_transition.journal SET moved_at = moved_at - interval '{days} days'")

    def settleable(self) -> Run:
        """A deploy that nothing holds any more: live, old enough, and a later release was deployed after it."""
        run = self.deployed()
        self.live()
        self.age()
        self.next_release()
        self.superseded()
        return run

    def superseded(self) -> None:
        """The next release stops at its first step; from then on no rollback reaches the one before.

        A person then says that the one before runs.
        """
        before = self.shop.production
        (self.shop.folder / "broken").touch()
        run = self.shop.deploy()
        assert (run.state, run.result["failed_step"]) == ("failed", "gate"), (run.error, run.summary)
        (self.shop.folder / "broken").unlink()
        environments.adopt_build(
            environment=self.shop.production, version=before.current_version, build_digest=before.current_build_digest,
            actor=None, reason="Looked.",
        )  # fmt: skip

    def kept(self) -> list[str]:
        """The tables that are kept beside the journal."""
        rows = self.data.sql(
            "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('gonogo_transition') AND relkind = 'r'"
            " AND relname <> 'journal' ORDER BY 1"
        )
        return [name for (name,) in rows]


@contextmanager
def world(
    folder: Path,
    server: LocalServer,
    *,
    settle: Mapping[str, Any] | None = None,
    rollback: Mapping[str, Any] | None = None,
    deploy: Mapping[str, Any] | None = None,
    checks: Mapping[str, Any] | None = None,
    tables: list[dict[str, Any]] | None = None,
    transition: Mapping[str, Any] | None = None,
    **databases: str,
) -> Iterator[World]:
    """2.0 is approved and not deployed yet. ``databases``: ``source`` and ``target`` schema with rows."""
    server.replies["/"] = Reply()
    params = {"source": "staging", "tables": tables or TABLES, **(transition or {})}
    plan: dict[str, Any] = {
        "checks": {
            "people": check("transition", "production", params=params),
            "settle": check("settle", "production", params={**SETTLE, **(settle or {})}),
            **(checks or {}),
        },
        "deploy": {
            "steps": [step("gate", '[ ! -e "$GONOGO_PLAN_DIR/broken" ]'), MOVE], "smoke": SMOKE, **(deploy or {}),
        },
        "rollback": {
            "steps": [step("aside", 'echo aside >> "$GONOGO_PLAN_DIR/aside"'), {**MOVE, "title": "Take them out"}],
            "smoke": SMOKE, **(rollback or {}),
        },
    }  # fmt: skip
    with people(folder, plan=plan, url=server.url, **databases) as data:
        team = make_team(data.application)
        production = Environment.objects.get(application=data.application, name="production")
        environments.adopt_build(
            environment=production, version="1.0", build_digest=OLD, actor=None, reason="It was there."
        )
        release = make_release(application=data.application, requester=team.engineer, version="2.0")
        make_approved(release, team)
        yield World(Shop(data.application, team, Release.objects.get(pk=release.pk), folder, server), data)


def passed(run: Run) -> Run:
    assert run.state == "passed", (run.error, run.summary, log_of(run))
    return run


def only(run: Run) -> dict[str, Any]:
    """The one transition that a settling run tells of."""
    passed(run)
    (row,) = run.result["transitions"]
    return dict(row)
