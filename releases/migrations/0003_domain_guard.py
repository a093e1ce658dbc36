"""Puts the guard on the domain: what code refuses with a sentence, the database refuses as well.

States of a release change only along its table; what a release is about, plans, manifests and evidence never change;
a vote can only be withdrawn, and is never the requester's own. TRUNCATE stays possible for the owner of the tables.
"""

from django.db import migrations

RELEASE = """
CREATE FUNCTION releases_release_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ways CONSTANT jsonb := '{
        "draft": ["rehearsing", "cancelled"],
        "rehearsing": ["approved", "cancelled", "deploying"],
        "approved": ["rehearsing", "deploying", "cancelled"],
        "deploying": ["watching", "failed", "unknown", "rolled_back"],
        "watching": ["live", "deploying", "rolled_back", "failed", "unknown"],
        "live": ["deploying", "rolled_back", "failed", "unknown"],
        "failed": ["deploying", "rolled_back", "unknown", "cancelled"],
        "unknown": ["deploying", "watching", "failed", "rolled_back"],
        "rolled_back": ["rehearsing", "cancelled"],
        "cancelled": []
    }';
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'draft' THEN
            RAISE EXCEPTION 'A release begins as a draft, not as %.', NEW.state USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.application_id, NEW.version, NEW.build_name, NEW.build_digest, NEW.build_size, NEW.build_key,
        NEW.source_environment_id, NEW.target_environment_id, NEW.requester_id)
       IS DISTINCT FROM
       (OLD.id, OLD.application_id, OLD.version, OLD.build_name, OLD.build_digest, OLD.build_size, OLD.build_key,
        OLD.source_environment_id, OLD.target_environment_id, OLD.requester_id) THEN
        RAISE EXCEPTION 'What release % is about never changes; make another release.', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state <> OLD.state AND NOT ways -> OLD.state ? NEW.state THEN
        RAISE EXCEPTION 'Release % cannot go from % to %.', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'rehearsing' AND NEW.state = 'deploying' AND NOT EXISTS (
        SELECT FROM releases_breakglass
        WHERE release_id = OLD.id AND approved_by_id IS NOT NULL AND used_at IS NOT NULL
          AND expires_at > statement_timestamp()
    ) THEN
        RAISE EXCEPTION 'Release % is not approved; only break-glass by two people leads past that.', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER releases_release_guard BEFORE INSERT OR UPDATE ON releases_release
    FOR EACH ROW EXECUTE FUNCTION releases_release_guard();
"""

IMMUTABLE = """
CREATE FUNCTION releases_never_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Rows of % are kept as they were written; % is refused.', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER releases_planversion_guard BEFORE UPDATE OR DELETE ON releases_planversion
    FOR EACH ROW EXECUTE FUNCTION releases_never_changes();
CREATE TRIGGER releases_manifest_guard BEFORE UPDATE OR DELETE ON releases_manifest
    FOR EACH ROW EXECUTE FUNCTION releases_never_changes();
CREATE TRIGGER releases_evidence_guard BEFORE UPDATE OR DELETE ON releases_evidence
    FOR EACH ROW EXECUTE FUNCTION releases_never_changes();
CREATE TRIGGER releases_vote_stays BEFORE DELETE ON releases_vote
    FOR EACH ROW EXECUTE FUNCTION releases_never_changes();
CREATE TRIGGER releases_breakglass_stays BEFORE DELETE ON releases_breakglass
    FOR EACH ROW EXECUTE FUNCTION releases_never_changes();
"""

# Every column but the named ones keeps its value, and the named ones change once, from NULL to a value.
SIGNED_ONCE = """
CREATE FUNCTION releases_signed_once() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    old_row CONSTANT jsonb := to_jsonb(OLD);
    new_row CONSTANT jsonb := to_jsonb(NEW);
    name text;
BEGIN
    FOR name IN SELECT jsonb_object_keys(new_row) LOOP
        IF new_row -> name IS DISTINCT FROM old_row -> name
           AND NOT (name = ANY (TG_ARGV) AND old_row -> name = 'null'::jsonb) THEN
            RAISE EXCEPTION 'Column % of % is kept as it was written.', name, TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation';
        END IF;
    END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER releases_vote_guard BEFORE UPDATE ON releases_vote
    FOR EACH ROW EXECUTE FUNCTION releases_signed_once('withdrawn_at');
CREATE TRIGGER releases_breakglass_guard BEFORE UPDATE ON releases_breakglass
    FOR EACH ROW EXECUTE FUNCTION releases_signed_once('approved_by_id', 'approved_at', 'used_at');
CREATE TRIGGER releases_waiver_guard BEFORE UPDATE ON releases_waiver
    FOR EACH ROW EXECUTE FUNCTION releases_signed_once('approved_by_id', 'approved_at', 'revoked_by_id', 'revoked_at');
CREATE TRIGGER releases_riskassessment_guard BEFORE UPDATE ON releases_riskassessment
    FOR EACH ROW EXECUTE FUNCTION releases_signed_once('confirmed_by_id', 'confirmed_at');
"""

VOTER = """
CREATE FUNCTION releases_vote_separation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM releases_release WHERE id = NEW.release_id AND requester_id = NEW.voter_id) THEN
        RAISE EXCEPTION 'Nobody votes on the release that they requested.' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM releases_manifest WHERE digest = NEW.manifest_id AND release_id = NEW.release_id) THEN
        RAISE EXCEPTION 'A vote is about a manifest of its own release.' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.withdrawn_at IS NOT NULL THEN
        RAISE EXCEPTION 'A vote is cast before it is withdrawn.' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER releases_vote_separation BEFORE INSERT ON releases_vote
    FOR EACH ROW EXECUTE FUNCTION releases_vote_separation();
"""

UNDO = """
DROP TRIGGER releases_vote_separation ON releases_vote;
DROP FUNCTION releases_vote_separation();
DROP TRIGGER releases_riskassessment_guard ON releases_riskassessment;
DROP TRIGGER releases_waiver_guard ON releases_waiver;
DROP TRIGGER releases_breakglass_guard ON releases_breakglass;
DROP TRIGGER releases_vote_guard ON releases_vote;
DROP FUNCTION releases_signed_once();
DROP TRIGGER releases_breakglass_stays ON releases_breakglass;
DROP TRIGGER releases_vote_stays ON releases_vote;
DROP TRIGGER releases_evidence_guard ON releases_evidence;
DROP TRIGGER releases_manifest_guard ON releases_manifest;
DROP TRIGGER releases_planversion_guard ON releases_planversion;
DROP FUNCTION releases_never_changes();
DROP TRIGGER releases_release_guard ON releases_release;
DROP FUNCTION releases_release_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("releases", "0002_ledger_guard")]

    operations = [migrations.RunSQL(sql=RELEASE + IMMUTABLE + SIGNED_ONCE + VOTER, reverse_sql=UNDO)]
