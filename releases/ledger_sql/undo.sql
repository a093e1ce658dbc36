-- Takes the guard off again, for the way back of the migration. It refuses while there is anything to guard.
DO $$
BEGIN
    IF EXISTS (SELECT FROM releases_ledgerentry) THEN
        RAISE EXCEPTION 'The ledger holds entries; its guard stays. Nothing was changed.'
            USING ERRCODE = 'restrict_violation';
    END IF;
END $$;
DROP TRIGGER ledger_refuse_truncate ON releases_ledgernode;
DROP TRIGGER ledger_refuse_delete ON releases_ledgernode;
DROP TRIGGER ledger_refuse_update ON releases_ledgernode;
DROP TRIGGER ledger_refuse_truncate ON releases_ledgercheckpoint;
DROP TRIGGER ledger_refuse_delete ON releases_ledgercheckpoint;
DROP TRIGGER ledger_refuse_update ON releases_ledgercheckpoint;
DROP TRIGGER ledger_refuse_truncate ON releases_ledgerentry;
DROP TRIGGER ledger_refuse_delete ON releases_ledgerentry;
DROP TRIGGER ledger_refuse_update ON releases_ledgerentry;
DROP TRIGGER ledger_ask_for_seal ON releases_ledgerentry;
DROP TABLE ledger_seal_request;
DROP TRIGGER ledger_guard_insert ON releases_ledgerentry;
DROP FUNCTION ledger_seal();
DROP FUNCTION ledger_ask_for_seal();
DROP FUNCTION ledger_refuse();
DROP FUNCTION ledger_guard_insert();
DROP FUNCTION ledger_append(text, text);
DROP FUNCTION ledger_at_text(timestamptz);
