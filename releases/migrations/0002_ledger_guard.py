"""Puts the guard on the ledger: the one door in, the seal at commit, and the refusals."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "ledger_sql"


def _read(*names: str) -> str:
    return "\n".join((SQL / name).read_text(encoding="utf-8") for name in names)


class Migration(migrations.Migration):
    dependencies = [("releases", "0001_initial")]

    operations = [
        migrations.RunSQL(
            sql=_read("01_append.sql", "02_seal.sql", "03_refuse.sql"),
            reverse_sql=_read("undo.sql"),
        ),
    ]
