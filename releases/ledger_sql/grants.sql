-- For production: the program connects as gonogo_app, which owns nothing of the ledger. Run it once after each
-- `migrate`, as the owner of the tables:   psql "$OWNER_DATABASE_URL" -f releases/ledger_sql/grants.sql
-- gonogo_app can then read the ledger and add to it through ledger_append(), and nothing more; it cannot disable
-- a trigger, because that takes the owner.

\set ON_ERROR_STOP on
BEGIN;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gonogo_app') THEN
        CREATE ROLE gonogo_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
    END IF;
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO gonogo_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO gonogo_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO gonogo_app;

REVOKE ALL ON releases_ledgerentry, releases_ledgernode, releases_ledgercheckpoint, ledger_seal_request
    FROM PUBLIC, gonogo_app;
GRANT SELECT ON releases_ledgerentry TO gonogo_app;
GRANT SELECT, INSERT ON releases_ledgernode TO gonogo_app;
GRANT SELECT, INSERT, UPDATE (stored_key) ON releases_ledgercheckpoint TO gonogo_app;

REVOKE ALL ON FUNCTION ledger_append(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_append(text, text) TO gonogo_app;

COMMIT;
