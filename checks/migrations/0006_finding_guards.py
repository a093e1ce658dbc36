"""What the database itself holds about findings: what they are never changes, a scan's word stands once its run has
ended, and an acceptance is kept as it was asked for."""

from django.db import migrations

FINDING = """
CREATE FUNCTION checks_finding_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Findings are never deleted.' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.application_id, NEW.fingerprint, NEW.family) IS DISTINCT FROM
       (OLD.application_id, OLD.fingerprint, OLD.family) THEN
        RAISE EXCEPTION 'What finding % is about never changes.', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER checks_finding_guard BEFORE UPDATE OR DELETE ON checks_finding
    FOR EACH ROW EXECUTE FUNCTION checks_finding_guard();
"""

# A later attempt of the same run takes the place of an earlier one; after its end nothing does.
OCCURRENCE = """
CREATE FUNCTION checks_occurrence_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM checks_run WHERE id = OLD.run_id AND state NOT IN ('queued', 'running')) THEN
        RAISE EXCEPTION 'What a scan said is kept as it was said.' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER checks_occurrence_guard BEFORE UPDATE OR DELETE ON checks_occurrence
    FOR EACH ROW EXECUTE FUNCTION checks_occurrence_guard();
CREATE TRIGGER checks_scan_guard BEFORE UPDATE OR DELETE ON checks_scan
    FOR EACH ROW EXECUTE FUNCTION checks_occurrence_guard();
"""

ACCEPTANCE = """
ALTER TABLE checks_acceptance ADD CONSTRAINT acceptance_ends_in_time CHECK (
    expires_at > requested_at
    AND expires_at <= requested_at + CASE WHEN rank >= 4 THEN interval '336 hours' ELSE interval '2160 hours' END
);
CREATE FUNCTION checks_acceptance_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Acceptances are never deleted.' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.reason, NEW.severity, NEW.rank, NEW.had_fix, NEW.requested_by_id, NEW.requested_at, NEW.expires_at)
       IS DISTINCT FROM
       (OLD.reason, OLD.severity, OLD.rank, OLD.had_fix, OLD.requested_by_id, OLD.requested_at, OLD.expires_at)
       OR (OLD.approved_at IS NOT NULL AND (NEW.approved_at, NEW.approved_by_id)
           IS DISTINCT FROM (OLD.approved_at, OLD.approved_by_id))
       OR (OLD.ended_at IS NOT NULL AND (NEW.ended_at, NEW.ended_by_id, NEW.ended_because)
           IS DISTINCT FROM (OLD.ended_at, OLD.ended_by_id, OLD.ended_because)) THEN
        RAISE EXCEPTION 'Acceptance % is kept as it was written.', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER checks_acceptance_guard BEFORE UPDATE OR DELETE ON checks_acceptance
    FOR EACH ROW EXECUTE FUNCTION checks_acceptance_guard();
"""

UNDO = """
DROP TRIGGER checks_acceptance_guard ON checks_acceptance;
DROP FUNCTION checks_acceptance_guard();
ALTER TABLE checks_acceptance DROP CONSTRAINT acceptance_ends_in_time;
DROP TRIGGER checks_scan_guard ON checks_scan;
DROP TRIGGER checks_occurrence_guard ON checks_occurrence;
DROP FUNCTION checks_occurrence_guard();
DROP TRIGGER checks_finding_guard ON checks_finding;
DROP FUNCTION checks_finding_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("checks", "0005_findings")]

    operations = [migrations.RunSQL(sql=FINDING + OCCURRENCE + ACCEPTANCE, reverse_sql=UNDO)]
