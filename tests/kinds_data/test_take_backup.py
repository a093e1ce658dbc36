"""Taking a backup for real, and what stands in storage afterwards."""

import json
from pathlib import Path

from checks.enums import RunState
from checks.tools import backup
from tests.kinds_data.support import Shop, log_of


def test_a_backup_is_published_with_counts_of_everything(plain_shop: Shop, storage_folder: Path) -> None:
    run = plain_shop.run("backup")
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    taken = backup.newest(plain_shop.application.slug, "production")
    tables = {name: table["rows"] for name, table in taken.manifest["tables"].items()}
    assert tables == {
        "public.customer": 500, "public.purchase": 2000, "public.event_2025": 213, "public.event_2026": 87,
        "public.nothing": 2, "public.Odd name; DROP": 3,
    }  # fmt: skip
    assert taken.manifest["large_objects"]["rows"] == 1
    print(json.dumps(run.result, indent=1)[:3000], log_of(run))
    print([str(path.relative_to(storage_folder)) for path in storage_folder.rglob("*")])


def test_a_drill_of_it_passes(plain_shop: Shop) -> None:
    plain_shop.run("backup")
    run = plain_shop.run("drill")
    print(json.dumps(run.result, indent=1)[:3000], log_of(run))
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
