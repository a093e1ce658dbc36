-- One word for all of the schema, the same as long as nobody changes it.
WITH shown AS (
    SELECT c.oid, c.relname, c.relnamespace
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid >= 16384 AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND c.relname !~ '^django_migrations'
)
SELECT pg_catalog.md5(COALESCE(string_agg(line, ',' ORDER BY line), '')) FROM (
    SELECT concat_ws(' ', 'relation', c.oid, c.relname, c.relnamespace) FROM shown c
    UNION ALL SELECT concat_ws(' ', 'column', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod,
                               a.attnotnull, a.atthasdef, a.attisdropped)
        FROM pg_catalog.pg_attribute a JOIN shown c ON c.oid = a.attrelid WHERE a.attnum > 0
    UNION ALL SELECT concat_ws(' ', 'constraint', o.oid, o.conname, o.convalidated)
        FROM pg_catalog.pg_constraint o
        WHERE o.oid >= 16384 AND (o.conrelid = 0 OR o.conrelid IN (SELECT oid FROM shown))
    UNION ALL SELECT concat_ws(' ', 'function', p.oid, p.proname, pg_catalog.md5(p.prosrc))
        FROM pg_catalog.pg_proc p WHERE p.oid >= 16384 AND p.pronamespace <> pg_catalog.pg_my_temp_schema()
    UNION ALL SELECT concat_ws(' ', 'trigger', t.oid, t.tgenabled) FROM pg_catalog.pg_trigger t
    UNION ALL SELECT concat_ws(' ', 'label', e.oid, e.enumlabel) FROM pg_catalog.pg_enum e
) lines(line)
