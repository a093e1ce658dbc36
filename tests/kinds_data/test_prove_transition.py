"""What a transition must not lose or change is proven; whatever else happened to the target says no."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from checks.enums import RunState
from checks.tools.transition.declaration import TableMapping, cross_check
from checks.tools.transition.expression import check_expression
from tests.kinds_data.people import TABLES, People, people
from tests.kinds_data.support import log_of

TAMPERING = """
CREATE FUNCTION tamper() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    CASE TG_TABLE_NAME
    WHEN 'progress' THEN NEW.score := NEW.score + 1;
    WHEN 'person' THEN NEW.email := upper(NEW.email);
    ELSE
        UPDATE public.untouched SET note = 'touched' WHERE id = 1;
        INSERT INTO public.team (name) VALUES ('strange') ON CONFLICT DO NOTHING;
    END CASE;
    RETURN NEW;
END $$;
CREATE TRIGGER tamper BEFORE INSERT ON progress FOR EACH ROW WHEN (NEW.lesson = 2) EXECUTE FUNCTION tamper();
CREATE TRIGGER tamper BEFORE UPDATE ON person FOR EACH ROW EXECUTE FUNCTION tamper();
CREATE TRIGGER tamper AFTER INSERT ON preferences FOR EACH ROW EXECUTE FUNCTION tamper();
"""


@pytest.fixture
def moving(transactional_db: None, storage_folder: Path, tmp_path: Path) -> Iterator[People]:
    with people(tmp_path) as made:
        yield made


@pytest.mark.campaign
def test_whatever_triggers_do_to_rows_is_found_and_may_be_declared_or_switched_off(moving: People) -> None:
    moving.sql(TAMPERING)
    before = moving.everything()
    run = moving.rehearse()
    assert run.state == RunState.FAILED, (run.error, log_of(run))
    told = "\n".join(run.result["differences"])
    for sentence in (
        "public.progress: 29 inserted rows differ from the source: 1, 2,",
        "public.progress: column score has other figures in the target than in the source.",
        "public.person: merged rows are not what the rule makes of them: 3.",
        "public.team: rows outside of the mapping changed (1 before and 2 after).",
        "public.untouched changed, which the mapping does not name.",
    ):
        assert sentence in told, run.result["differences"]
    assert "Everything was taken back" in run.summary
    assert moving.everything() == before

    off = moving.rehearse(triggers="off")
    assert off.state == RunState.PASSED, (off.error, off.summary, log_of(off))
    assert "public.person has 1 triggers, which are off meanwhile." in off.result["notes"]

    reason = "The shop's own triggers do this."
    tables = [
        {**TABLES[1], "same": ["email", "name", "joined"], "merge": {"points": "greatest"}},
        {**TABLES[2]},
        {**TABLES[3]},
    ]
    declared = moving.rehearse(
        tables,
        may_change={"progress.score": reason, "person.email": reason, "untouched": reason, "team": reason},
    )  # fmt: skip
    assert declared.state == RunState.PASSED, (declared.error, declared.summary, log_of(declared))
    assert f"public.untouched was written, as declared: {reason}" in declared.result["notes"]
    assert declared.result["undo"]["done"]
    left = [sentence.split(" is not ")[0] for sentence in declared.result["undo"]["declared"]]
    assert left == ["public.team", "public.untouched"], "what triggers did there stays, and is told"


@pytest.mark.campaign
def test_a_mapping_that_does_not_fit_the_databases_is_no_rehearsal(moving: People) -> None:
    cases: list[tuple[list[dict[str, Any]], str]] = [
        ([{"table": "nobody", "same": ["a"]}], "The source has no table public.nobody."),
        ([{"table": "untouched", "source_table": "team", "same": ["name"]}], "has no column name"),
        ([{"table": "person", "same": ["email"], "columns": {"twice": {"sql": "1"}}}], "computes public.person.twice"),
        ([{"table": "person", "same": ["email"], "columns": {"points": {"sql": "random()"}}}], "calls random, which"),
        ([{"table": "person", "same": ["email"], "columns": {"points": {"sql": "count(1)"}}}], "is an aggregate"),
        ([{"table": "person", "same": ["email", "team_id"]}], "names rows of public.team, which is not in the mapping"),
        ([{"table": "progress", "key": ["lesson"], "same": ["score"]}], "has no sequence of its own"),
    ]
    for tables, sentence in cases:
        run = moving.rehearse(tables)
        assert (run.state, sentence in run.error) == (RunState.ERRORED, True), (run.error, run.summary)


@pytest.fixture
def closed(transactional_db: None, storage_folder: Path, tmp_path: Path) -> Iterator[People]:
    """Two tables that refer to each other, neither reference may wait or be null; and a table with row security."""
    circle = """
        CREATE TABLE egg (id serial PRIMARY KEY, hen_id int NOT NULL);
        CREATE TABLE hen (id serial PRIMARY KEY, egg_id int NOT NULL REFERENCES egg);
        ALTER TABLE egg ADD FOREIGN KEY (hen_id) REFERENCES hen;
        CREATE TABLE secret (id int PRIMARY KEY, word text);
    """
    with people(tmp_path, source=circle, target=circle) as made:
        made.at_source("INSERT INTO secret VALUES (1, 'a'), (2, 'b')")
        yield made


@pytest.mark.campaign
def test_a_circle_without_a_way_in_is_told_and_row_security_never_hides_rows(closed: People) -> None:
    run = closed.rehearse([{"table": "egg", "same": ["hen_id"]}, {"table": "hen", "same": ["egg_id"]}])
    assert run.state == RunState.ERRORED
    assert "refer to each other in a circle" in run.error

    closed.sql("ALTER TABLE secret ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    run = closed.rehearse([{"table": "secret", "keys": "keep", "same": ["word"]}])
    assert run.state == RunState.ERRORED
    assert "row-level security" in run.error

    closed.sql("ALTER TABLE secret NO FORCE ROW LEVEL SECURITY")
    run = closed.rehearse([{"table": "secret", "keys": "keep", "same": ["word"]}])
    assert run.state == RunState.PASSED, (run.error, run.summary)
    assert "public.secret has row security; the role sees every row, or this would fail." in run.result["notes"]

    closed.at_source("DELETE FROM secret")
    run = closed.rehearse([{"table": "secret", "keys": "keep", "same": ["word"]}])
    assert run.state == RunState.ERRORED, "nothing to move is no rehearsal"
    assert "holds no row of the declared tables" in run.error


FINER = """
CREATE TABLE price (id int PRIMARY KEY, amount numeric(10, 2), label varchar(20));
CREATE FUNCTION add_a_quarter() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.amount := NEW.amount + 0.25;
    RETURN NEW;
END $$;
CREATE TRIGGER add_a_quarter BEFORE INSERT ON price FOR EACH ROW WHEN (NEW.id > 2) EXECUTE FUNCTION add_a_quarter();
"""


@pytest.fixture
def finer(transactional_db: None, storage_folder: Path, tmp_path: Path) -> Iterator[People]:
    """Whole numbers of the source become numbers with cents, to which a trigger of the target adds some."""
    with people(tmp_path, source="CREATE TABLE price (id int PRIMARY KEY, amount int, label text)",
                target=FINER) as made:  # fmt: skip
        made.at_source("INSERT INTO price SELECT n, n, 'p' || n FROM generate_series(1, 4) n")
        yield made


@pytest.mark.campaign
def test_what_the_target_adds_beyond_the_type_of_the_source_is_found(finer: People) -> None:
    price = [{"table": "price", "keys": "keep", "same": ["amount", "label"]}]
    run = finer.rehearse(price)
    assert run.state == RunState.FAILED, (run.error, run.summary)
    assert "public.price: 2 inserted rows differ from the source: 3, 4." in run.result["differences"]
    assert finer.sql("SELECT count(*) FROM price") == [(0,)]

    off = finer.rehearse(price, triggers="off")
    assert off.state == RunState.PASSED, (off.error, off.summary, log_of(off))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1; DROP TABLE x", "; is not allowed"),
        ("(SELECT 1)", "no query: SELECT"),
        ("a -- b", "no comment"),
        ("a /* b", "no comment"),
        ("(a", "is not closed"),
        ("a)", "closes nothing"),
        ("E'\\''", "without a letter before the quote"),
        ("$$a$$", r"\$ is not allowed"),
        (" ", "an expression is needed"),
    ],
)
def test_an_expression_is_one_closed_value(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_expression(text)
    assert check_expression("coalesce(\"select\", 'it''s; -- fine')")


@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        ({"same": ["a"], "columns": {"a": "b"}}, "stands in same and in columns"),
        ({"key": ["a", "b"]}, "keys: new needs a key of one column"),
        ({"same": ["id"]}, "gets a new number"),
        ({"same": ["a"], "match": ["b"]}, "match names 'b'"),
        ({"same": ["a"], "existing": "merge"}, "by what is a row known to be there"),
        ({"columns": {"a": {"column": "a", "value": 1}}}, "exactly one of column, sql and value"),
        ({"key": ["a"], "target_key": ["a", "b"]}, "as many columns"),
    ],
)
def test_a_mapping_that_contradicts_itself_is_refused(mapping: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        TableMapping.model_validate({"table": "t", **mapping})


def test_two_entries_for_one_table_and_references_to_nowhere_are_refused() -> None:
    one = TableMapping.model_validate({"table": "t", "same": ["a"]})
    with pytest.raises(ValueError, match=r"public\.t is declared twice"):
        cross_check([one, one.model_copy(update={"table": "public.t"})])
    lost = TableMapping.model_validate({"table": "u", "columns": {"a": {"column": "a", "references": "nowhere"}}})
    with pytest.raises(ValueError, match="references 'nowhere', which is not in the mapping"):
        cross_check([one, lost])
