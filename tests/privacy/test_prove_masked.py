"""The proof finds a masked value wherever it stands, and fails nobody for what may stay."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from checks.tools import masked_clone
from tests.kinds_data.support import Shop, administration, databases, log_of
from tests.privacy.support import INVENTORY, declare, entry, people, staging_of, told_in

pytestmark = pytest.mark.django_db(transaction=True)

#: Columns called as our own names are, and documents of every shape.
ODD = """
CREATE TABLE odd (id serial PRIMARY KEY, value varchar(30), key text, j jsonb, k json, e text[], o text, t text,
    form text, parts jsonb);
INSERT INTO odd (value, key, j, k, e, o, t, form, parts) VALUES
    ('+49 30 7654321', 'Quentin Marsh', '{"people": [{"name": "Quentin Marsh", "role": "treasurer"}]}',
     '"Quentin Marsh"', '{Quentin Marsh}', 'Quentin Marsh', 'Quentin Marsh', 'Quentin Marsh',
     '{"theme": "midnight blue", "x": {"y": ["z"]}}'),
    ('+49 30 7654322', 'Ida Holm', '["Ida Holm"]', 'null', '{}', '', NULL, '', '"Ida Holm"'),
    (NULL, '', 'null', '3', NULL, NULL, '', NULL, '{"theme": ["midnight blue"], "x": "Ida Holm"}');
"""
KEEPING = {"people.role": "keep", "people.name": "name"}
ODD_INVENTORY = [
    entry(["odd.value"], "contact", "phone"),
    entry(["odd.key", "odd.e", "odd.o", "odd.t", "odd.form"], "identity", "name"),
    entry(["odd.j", "odd.k"], "identity", "json", json_keys=KEEPING),
    entry(["odd.parts"], "identity", "json", json_keys={"*.theme": "keep"}),
]
#: name of a column of staging's table -> its text, and the masked column whose value stands in it.
FOUND = {
    "alone": ("person7@example.org", "person.email"),
    "capitals": ("PERSON7@EXAMPLE.ORG", "person.email"),
    "in_a_sentence": ("Please write to person7@example.org, or call.", "person.email"),
    "in_brackets": ("a list (person8@example.org)", "person.email"),
    "quoted": ("He said: “person9@example.org”…", "person.email"),
    "at_the_end": ("that was person9@example.org", "person.email"),
    "two_words": ("yesterday peter berg-bson came by", "person.name"),
    "two_words_apart": ("it was Peter\n  Berg-Bson, of course", "person.name"),
    "three_words": ("call +49 30 1234007 now", "person.phone"),
    "in_a_document": ('{"a": ["x", {"b": "seen: person7@example.org"}]}', "person.email"),
    "a_number": ("it is 491701230009, they say", "person.mobile"),
    "other_letters": ("met ÅSA ÖBERG today", "person.name"),
}
NOT_FOUND = {
    "one_word_of_two": "Peter came by",
    "another_order": "Berg-Bson Peter",
    "a_longer_word": "xperson7@example.org.invalid",
    "nobody": "the quick brown fox jumps over the lazy dog " * 50,
}


def with_notes(shop: Shop, notes: Mapping[str, str], locale: str = "") -> None:
    """Staging gets a database with one row of these texts, each in a column of its name."""
    staging = staging_of(shop)
    with administration() as server:
        name = sql.Identifier(staging.database)
        server.execute(sql.SQL("DROP DATABASE {}").format(name))
        server.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 {}").format(
                name,
                sql.Identifier(shop.role),
                sql.SQL(locale),  # type: ignore[arg-type]
            )
        )
    with psycopg.connect(staging.conninfo(), autocommit=True, client_encoding="utf8") as database:
        columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in notes)
        database.execute(sql.SQL("CREATE TABLE note ({})").format(columns))
        values = sql.SQL(", ").join(sql.Placeholder() for _ in notes)
        database.execute(sql.SQL("INSERT INTO note VALUES ({})").format(values), list(notes.values()))


def looked_for_in_staging(shop: Shop) -> Any:
    shop.sql("UPDATE person SET name = 'Åsa Öberg' WHERE id = 5")
    run = shop.run("privacy", also_in=["staging"])
    assert "person7" not in told_in(run.result, log_of(run)), "no value is told"
    return run


@pytest.mark.campaign
@pytest.mark.parametrize("locale", ["", "LOCALE_PROVIDER libc LOCALE 'C'"], ids=["like production", "another locale"])
def test_a_value_is_found_in_whatever_surrounds_it(
    transactional_db: None, storage_folder: Path, tmp_path: Path, locale: str
) -> None:
    notes = {name: text for name, (text, _) in FOUND.items()} | NOT_FOUND
    with people(tmp_path) as shop:
        with_notes(shop, notes, locale)
        run = looked_for_in_staging(shop)
    assert run.state == "failed", (run.error, log_of(run))
    found: dict[str, set[str]] = {}
    for leak in run.result["leaks"]:
        assert (leak["where"], leak["found_table"]) == ("staging", "note")
        found.setdefault(leak["found_column"], set()).add(f"{leak['table']}.{leak['column']}")
    assert found.keys() == FOUND.keys()
    for name, (_, column) in FOUND.items():
        assert column in found[name], name


@pytest.mark.campaign
def test_databases_whose_texts_cannot_be_compared_prove_nothing(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    with people(tmp_path) as shop:
        with_notes(shop, {"a": "person7@example.org"}, "ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C'")
        run = looked_for_in_staging(shop)
    assert run.state == "errored", log_of(run)
    assert run.error == "The two servers do not see texts in one way, so nothing can be proven between them."


@pytest.mark.campaign
def test_columns_and_documents_of_any_name_and_shape_are_masked_and_proven(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    with people(tmp_path, inventory=[*INVENTORY, *ODD_INVENTORY]) as shop:
        shop.sql(ODD)
        run = shop.run("privacy")
        assert run.state == "passed", (run.error, run.summary, log_of(run))
        # What one rule keeps and another masks is looked for all the same.
        both = {"*.theme": "keep", "x.theme": "text"}
        rules = [*ODD_INVENTORY[:-1], entry(["odd.parts"], "identity", "json", json_keys=both)]
        declare(shop, [*INVENTORY, *rules])
        shop.sql(
            """UPDATE odd SET parts = '{"x": {"theme": "midnight blue"}, "theme": "midnight blue"}' WHERE id = 1"""
        )
        kept = shop.run("privacy")
        assert kept.state == "failed", log_of(kept)
        assert [f"{leak['column']} in {leak['found_column']}" for leak in kept.result["leaks"]] == ["parts in parts"]


@pytest.mark.campaign
def test_masking_tells_how_many_rows_are_done_in_the_run_s_own_thread(
    transactional_db: None, storage_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, str, int, int]] = []
    mask = masked_clone.mask

    def watched(context: Any, clone: Any, section: Any, key: Any, progress: Any) -> Any:
        def tell(label: str, done: int, total: int) -> None:
            told.append((threading.get_ident(), label, done, total))
            progress(label, done, total)

        return mask(context, clone, section, key, tell)

    monkeypatch.setattr(masked_clone, "mask", watched)
    with people(tmp_path) as shop:
        shop.sql(
            "INSERT INTO newsletter (email, topic) SELECT n || '@example.org', 'x' FROM generate_series(1, 60000) n"
        )
        shop.sql("ANALYZE newsletter")
        before = databases()
        run = shop.run("privacy")
        assert run.state == "passed", (run.error, log_of(run))
        assert databases() == before
    assert {thread for thread, *_ in told} == {threading.get_ident()}
    assert {label for _, label, *_ in told} & {"newsletter", "person"}
    counts = [done for _, _, done, _ in told]
    assert counts == sorted(counts)
    assert any(0 < done < 60_000 for done in counts), counts
    assert told[-1][3] >= 60_000
    assert run.steps.get(key="mask").figures["rows"] == run.result["figures"]["masked_rows"] == 60_165
