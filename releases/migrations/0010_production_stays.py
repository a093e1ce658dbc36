"""An environment that is production stays it: the gate stands before production alone."""

from django.db import migrations

GUARD = """
CREATE FUNCTION releases_environment_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.tier = 'production' AND NEW.tier <> 'production' THEN
        RAISE EXCEPTION 'Environment % is production and stays it.', OLD.name USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER releases_environment_guard BEFORE UPDATE OF tier ON releases_environment
    FOR EACH ROW EXECUTE FUNCTION releases_environment_guard();
"""
UNGUARD = """
DROP TRIGGER releases_environment_guard ON releases_environment;
DROP FUNCTION releases_environment_guard();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("releases", "0009_attested_items"),
    ]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
