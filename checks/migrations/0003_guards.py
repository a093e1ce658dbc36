"""What the database itself holds about runs: their numbers and tokens, their ways of state, their log, their doorbell.

The table of ways is the one of ``checks.enums.RUN_TRANSITIONS``; a test compares the two.
"""

from django.db import migrations

SEQUENCES = """
CREATE SEQUENCE checks_run_number AS bigint;
CREATE SEQUENCE checks_run_token AS bigint;
ALTER TABLE checks_run ALTER COLUMN number SET DEFAULT nextval('checks_run_number');
"""
NO_SEQUENCES = """
ALTER TABLE checks_run ALTER COLUMN number DROP DEFAULT;
DROP SEQUENCE checks_run_token;
DROP SEQUENCE checks_run_number;
"""

TRANSITIONS = """
CREATE FUNCTION checks_run_way_allowed(old_state text, new_state text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT new_state = ANY (CASE old_state
        WHEN 'queued' THEN ARRAY['running', 'cancelled']
        WHEN 'running' THEN ARRAY['passed', 'failed', 'errored', 'cancelled', 'queued', 'lost', 'unknown']
        WHEN 'unknown' THEN ARRAY['passed', 'failed', 'cancelled']
        ELSE ARRAY[]::text[]
    END)
$$;

CREATE FUNCTION checks_run_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state IS DISTINCT FROM OLD.state AND NOT checks_run_way_allowed(OLD.state, NEW.state) THEN
        RAISE EXCEPTION 'run % is %, and cannot become %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'run_state_way';
    END IF;
    IF NEW.state = 'running' AND NEW.token < OLD.token THEN
        RAISE EXCEPTION 'the token of run % only grows', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'run_token_grows';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER checks_run_guard BEFORE UPDATE OF state, token ON checks_run
    FOR EACH ROW EXECUTE FUNCTION checks_run_guard();
"""
NO_TRANSITIONS = """
DROP TRIGGER checks_run_guard ON checks_run;
DROP FUNCTION checks_run_guard();
DROP FUNCTION checks_run_way_allowed(text, text);
"""

# Deleting a run deletes its log in the same transaction, before the run itself; so the question
# whether the run is gone can only be asked when the transaction commits.
LOG_GUARD = """
CREATE FUNCTION checks_log_refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'lines of a log are never changed' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER checks_log_refuse_update BEFORE UPDATE ON checks_logchunk
    FOR EACH ROW EXECUTE FUNCTION checks_log_refuse_update();

CREATE FUNCTION checks_log_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM checks_run WHERE id = OLD.run_id) THEN
        RAISE EXCEPTION 'lines of a log are deleted only with their run' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER checks_log_refuse_delete AFTER DELETE ON checks_logchunk
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION checks_log_refuse_delete();
"""
NO_LOG_GUARD = """
DROP TRIGGER checks_log_refuse_delete ON checks_logchunk;
DROP FUNCTION checks_log_refuse_delete();
DROP TRIGGER checks_log_refuse_update ON checks_logchunk;
DROP FUNCTION checks_log_refuse_update();
"""

OUTBOX = """
CREATE FUNCTION checks_outbox_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('gonogo_outbox', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER checks_outbox_notify AFTER INSERT ON checks_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION checks_outbox_notify();
"""
NO_OUTBOX = """
DROP TRIGGER checks_outbox_notify ON checks_outbox;
DROP FUNCTION checks_outbox_notify();
"""


class Migration(migrations.Migration):
    dependencies = [("checks", "0002_initial")]

    operations = [
        migrations.RunSQL(SEQUENCES, NO_SEQUENCES),
        migrations.RunSQL(TRANSITIONS, NO_TRANSITIONS),
        migrations.RunSQL(LOG_GUARD, NO_LOG_GUARD),
        migrations.RunSQL(OUTBOX, NO_OUTBOX),
    ]
