-- The one door into the ledger, and the guard behind it.

CREATE FUNCTION ledger_at_text(moment timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

COMMENT ON FUNCTION ledger_at_text(timestamptz) IS 'A moment as the canonical bytes write it: ISO 8601, UTC, microseconds.';


-- The facts arrive as RFC 8785 JSON cut in two where "at" belongs, so that the time is the database's own
-- and still stands inside the canonical bytes. The columns are read back out of those bytes.
CREATE FUNCTION ledger_append(facts_before_at text, facts_after_at text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    canonical_text text := facts_before_at || ',"at":"' || ledger_at_text(moment) || '",' || facts_after_at;
    facts jsonb := canonical_text::jsonb;
BEGIN
    PERFORM set_config('gonogo.ledger_door', 'append', true);
    INSERT INTO releases_ledgerentry (
        at, actor_id, actor_name, action, subject_type, subject_id,
        application_id, release_id, request_id, document, canonical
    ) VALUES (
        moment, (facts ->> 'actor_id')::bigint, facts ->> 'actor_name', facts ->> 'action',
        facts ->> 'subject_type', facts ->> 'subject_id', (facts ->> 'application_id')::bigint,
        (facts ->> 'release_id')::uuid, facts ->> 'request_id', facts -> 'document',
        convert_to(canonical_text, 'UTF8')
    );
    PERFORM set_config('gonogo.ledger_door', '', true);
END $$;

COMMENT ON FUNCTION ledger_append(text, text) IS 'Adds one entry to the ledger; it is sealed when the transaction commits.';


CREATE FUNCTION ledger_guard_insert() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF current_setting('gonogo.ledger_door', true) IS DISTINCT FROM 'append' THEN
        RAISE EXCEPTION 'The ledger takes entries only through ledger_append(). Nothing was written.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.sequence IS NOT NULL OR NEW.previous IS NOT NULL OR NEW.hash IS NOT NULL THEN
        RAISE EXCEPTION 'A ledger entry is sealed when its transaction commits, not before. Nothing was written.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.at NOT BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp() + interval '1 minute' THEN
        RAISE EXCEPTION 'A ledger entry carries the time at which it is written, by the clock of the database. Nothing was written.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF convert_from(NEW.canonical, 'UTF8')::jsonb IS DISTINCT FROM jsonb_build_object(
        'action', NEW.action, 'actor_id', NEW.actor_id, 'actor_name', NEW.actor_name,
        'application_id', NEW.application_id, 'at', ledger_at_text(NEW.at), 'document', NEW.document,
        'release_id', NEW.release_id, 'request_id', NEW.request_id,
        'subject_id', NEW.subject_id, 'subject_type', NEW.subject_type, 'v', 1
    ) THEN
        RAISE EXCEPTION 'The canonical bytes of the ledger entry do not say what its columns say. Nothing was written.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER ledger_guard_insert BEFORE INSERT ON releases_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION ledger_guard_insert();
