-- PostgreSQL roles of a Consent Gate ledger: who may read, who may append what, and that nobody changes anything.
--
-- Run it once per schema version, after `gate db upgrade`, as whoever owns the tables; running it again is safe:
--     gate db roles | psql "$DATABASE_URL_OF_THE_TABLES_OWNER"
-- The three are group roles that cannot log in: make a login per program and grant it one of them.
--     CREATE ROLE airflow_worker LOGIN PASSWORD '…' IN ROLE :appender;
--
--   :reader    auditors and dashboards: SELECT, nothing else.
--   :appender  workers that hold the database's URL (embedded mode): append what a worker appends, and no consent,
--              appointment, profile, model, policy, key, mode, override, token, approval, declassification, erasure,
--              feed, clock, access or obligation; nor anything that looks as if a person had recorded it.
--   :owner     the decision service and people with `gate`: append every kind, and erase openings.
--
-- None of them owns the tables, so none can change an entry, drop a trigger or switch row level security off.

BEGIN;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[:'reader', :'appender', :'owner'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
        EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', current_schema(), name);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', current_schema(), name);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM %I', current_schema(), name);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), name);
    END LOOP;
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', current_schema());
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM PUBLIC', current_schema());
END $$;

GRANT SELECT ON entry, node, tree_head, opening, erased, attachment, meta, alembic_version TO :reader, :appender, :owner;
GRANT INSERT ON entry, node, tree_head, opening, attachment TO :appender, :owner;

GRANT SELECT, INSERT, UPDATE (sent_at, attempts, last_error) ON outbox TO :appender, :owner;
GRANT USAGE ON SEQUENCE outbox_id_seq TO :appender, :owner;

-- The lineage store, where it stands in the same database: a view that can be made anew, so it may be rewritten.

DO $$
DECLARE
    table_name text;
BEGIN
    FOR table_name IN SELECT tablename FROM pg_tables
        WHERE schemaname = current_schema() AND tablename LIKE 'lineage\_%' LOOP
        EXECUTE format('GRANT SELECT ON %I TO %I', table_name, :'reader');
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I, %I', table_name, :'appender', :'owner');
    END LOOP;
END $$;

GRANT DELETE ON opening, attachment TO :owner;
GRANT INSERT ON erased TO :owner;  -- by the trigger that notes what was deleted
GRANT USAGE ON SEQUENCE erased_id_seq TO :owner;
GRANT SELECT, INSERT, DELETE ON answered TO :owner;

-- Everybody sees every row; what may be inserted depends on the role.

ALTER TABLE entry ENABLE ROW LEVEL SECURITY;
ALTER TABLE tree_head ENABLE ROW LEVEL SECURITY;
ALTER TABLE opening ENABLE ROW LEVEL SECURITY;
ALTER TABLE attachment ENABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS gate_read ON entry;
DROP POLICY IF EXISTS gate_read ON tree_head;
DROP POLICY IF EXISTS gate_read ON opening;
DROP POLICY IF EXISTS gate_read ON attachment;
CREATE POLICY gate_read ON entry FOR SELECT TO :reader, :appender, :owner USING (true);
CREATE POLICY gate_read ON tree_head FOR SELECT TO :reader, :appender, :owner USING (true);
CREATE POLICY gate_read ON opening FOR SELECT TO :reader, :appender, :owner USING (true);
CREATE POLICY gate_read ON attachment FOR SELECT TO :reader, :appender, :owner USING (true);

DROP POLICY IF EXISTS gate_owner ON entry;
DROP POLICY IF EXISTS gate_owner ON tree_head;
DROP POLICY IF EXISTS gate_owner ON opening;
DROP POLICY IF EXISTS gate_owner ON attachment;
DROP POLICY IF EXISTS gate_erase ON opening;
DROP POLICY IF EXISTS gate_erase ON attachment;
CREATE POLICY gate_owner ON entry FOR INSERT TO :owner WITH CHECK (true);
CREATE POLICY gate_owner ON tree_head FOR INSERT TO :owner WITH CHECK (true);
CREATE POLICY gate_owner ON opening FOR INSERT TO :owner WITH CHECK (true);
CREATE POLICY gate_owner ON attachment FOR INSERT TO :owner WITH CHECK (true);
CREATE POLICY gate_erase ON opening FOR DELETE TO :owner USING (true);
CREATE POLICY gate_erase ON attachment FOR DELETE TO :owner USING (true);

-- What a worker appends must be what it says: a consent cannot hide in the bytes of a tag, nor another account
-- behind an erased reference. (The ledger's own verification finds such things; here they do not get in.)

DROP POLICY IF EXISTS gate_append ON entry;
CREATE POLICY gate_append ON entry FOR INSERT TO :appender WITH CHECK (
    kind IN (:worker_kinds)
    AND leaf_hash = sha256('\x00'::bytea || payload)
    AND (convert_from(payload, 'UTF8')::json ->> 'kind') = kind
    AND (convert_from(payload, 'UTF8')::json ->> 'subject') = subject
    AND (convert_from(payload, 'UTF8')::json -> 'body' ->> 'account_ref') IS NOT DISTINCT FROM account_ref
    AND (convert_from(payload, 'UTF8')::json -> 'body' ->> 'effective_at') IS NOT DISTINCT FROM effective_at
    AND (convert_from(payload, 'UTF8')::json ->> 'by') LIKE 'service:%'
    AND (convert_from(payload, 'UTF8')::json ->> 'via') NOT IN (:personal_ways)
);

DROP POLICY IF EXISTS gate_append ON tree_head;
CREATE POLICY gate_append ON tree_head FOR INSERT TO :appender WITH CHECK (
    previous < size AND size = (SELECT max(idx) + 1 FROM entry)
);

DROP POLICY IF EXISTS gate_append ON opening;
CREATE POLICY gate_append ON opening FOR INSERT TO :appender WITH CHECK (
    kind ~ '^[a-z]+$'
    AND value_digest = sha256(convert_to('["' || kind || '",' || value || ']', 'UTF8'))
    AND ref = encode(sha256(
        convert_to('consent-gate ref v1', 'UTF8') || '\x00'::bytea || salt
        || convert_to('["' || kind || '",' || value || ']', 'UTF8')
    ), 'hex')
);

DROP POLICY IF EXISTS gate_append ON attachment;
CREATE POLICY gate_append ON attachment FOR INSERT TO :appender WITH CHECK (
    digest = 'sha256:' || encode(sha256(content), 'hex')
);

COMMIT;
