-- Sealing: at commit, under a lock, each new entry gets its place and its hash.
--
-- It goes in two rounds. The first deferred trigger only asks for a seal; the second one, on the request, seals. So
-- the lock is taken after every other deferred trigger of the transaction has run, foreign keys above all: a
-- transaction that holds the lock never waits for a row that another one holds while that one waits for the lock.

CREATE UNLOGGED TABLE ledger_seal_request (first_id bigint PRIMARY KEY);

COMMENT ON TABLE ledger_seal_request IS 'Empty outside of a commit: asks for the seal of a transaction''s new ledger entries.';


CREATE FUNCTION ledger_ask_for_seal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    asked bigint := nullif(current_setting('gonogo.ledger_asked', true), '')::bigint;
BEGIN
    IF asked IS NULL OR NEW.id < asked THEN
        PERFORM set_config('gonogo.ledger_asked', NEW.id::text, true);
        INSERT INTO ledger_seal_request (first_id) VALUES (NEW.id);
    END IF;
    RETURN NULL;
END $$;


CREATE FUNCTION ledger_seal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    head_sequence bigint;
    head_hash bytea;
    entry record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('gonogo.ledger', 0));
    SELECT sequence, hash INTO head_sequence, head_hash
        FROM releases_ledgerentry WHERE sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1;
    IF NOT FOUND THEN
        head_sequence := 0;
        head_hash := decode(repeat('00', 32), 'hex');
    END IF;
    PERFORM set_config('gonogo.ledger_door', 'seal', true);
    -- Unsealed entries of other transactions are not visible here, so these are our own.
    FOR entry IN
        SELECT id, canonical FROM releases_ledgerentry WHERE id >= NEW.first_id AND hash IS NULL ORDER BY id
    LOOP
        head_sequence := head_sequence + 1;
        UPDATE releases_ledgerentry
            SET sequence = head_sequence, previous = head_hash,
                hash = sha256(head_hash || int8send(head_sequence) || entry.canonical)
            WHERE id = entry.id
            RETURNING hash INTO head_hash;
    END LOOP;
    PERFORM set_config('gonogo.ledger_door', '', true);
    DELETE FROM ledger_seal_request WHERE first_id = NEW.first_id;
    PERFORM set_config('gonogo.ledger_asked', '', true);
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ledger_ask_for_seal AFTER INSERT ON releases_ledgerentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_ask_for_seal();

CREATE CONSTRAINT TRIGGER ledger_seal AFTER INSERT ON ledger_seal_request
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_seal();
