-- Whatever would change the past is refused with a sentence.

CREATE FUNCTION ledger_refuse() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'The ledger is append-only: % on % is refused. Nothing was changed.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation',
              HINT = 'A mistake is corrected by a new entry that says so.';
END $$;

-- The seal is the one UPDATE: from inside the sealing trigger, once, correct, and nothing else changed.
CREATE TRIGGER ledger_refuse_update BEFORE UPDATE ON releases_ledgerentry FOR EACH ROW
    WHEN (NOT (
        pg_trigger_depth() > 0
        AND current_setting('gonogo.ledger_door', true) IS NOT DISTINCT FROM 'seal'
        AND OLD.sequence IS NULL AND OLD.previous IS NULL AND OLD.hash IS NULL
        AND NEW.hash IS NOT DISTINCT FROM sha256(NEW.previous || int8send(NEW.sequence) || NEW.canonical)
        AND (NEW.id, NEW.at, NEW.actor_id, NEW.actor_name, NEW.action, NEW.subject_type, NEW.subject_id,
             NEW.application_id, NEW.release_id, NEW.request_id, NEW.document, NEW.canonical)
            IS NOT DISTINCT FROM
            (OLD.id, OLD.at, OLD.actor_id, OLD.actor_name, OLD.action, OLD.subject_type, OLD.subject_id,
             OLD.application_id, OLD.release_id, OLD.request_id, OLD.document, OLD.canonical)
    ))
    EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER ledger_refuse_delete BEFORE DELETE ON releases_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER ledger_refuse_truncate BEFORE TRUNCATE ON releases_ledgerentry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

-- A checkpoint changes once: when its copy was read back from the storage.
CREATE TRIGGER ledger_refuse_update BEFORE UPDATE ON releases_ledgercheckpoint FOR EACH ROW
    WHEN (NOT (
        OLD.stored_key = '' AND NEW.stored_key <> ''
        AND (NEW.id, NEW.size, NEW.root, NEW.previous_checkpoint_id, NEW.signed_at, NEW.key_id, NEW.public_key,
             NEW.statement, NEW.signature, NEW.frontier)
            IS NOT DISTINCT FROM
            (OLD.id, OLD.size, OLD.root, OLD.previous_checkpoint_id, OLD.signed_at, OLD.key_id, OLD.public_key,
             OLD.statement, OLD.signature, OLD.frontier)
    ))
    EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER ledger_refuse_delete BEFORE DELETE ON releases_ledgercheckpoint
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER ledger_refuse_truncate BEFORE TRUNCATE ON releases_ledgercheckpoint
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

CREATE TRIGGER ledger_refuse_update BEFORE UPDATE ON releases_ledgernode
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER ledger_refuse_delete BEFORE DELETE ON releases_ledgernode
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER ledger_refuse_truncate BEFORE TRUNCATE ON releases_ledgernode
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();
