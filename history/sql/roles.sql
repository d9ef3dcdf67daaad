-- Roles of the history's database and their rights. Written by `andon history grant --sql` from
-- history/rights.py; may be applied again. Give each login one of them:
--     CREATE ROLE line1_record LOGIN PASSWORD '...' IN ROLE andon_recorder;
-- A login that migrates acts as the owner, so that the tables stay the owner's:
--     CREATE ROLE line1_admin LOGIN PASSWORD '...' IN ROLE andon_owner;
--     ALTER ROLE line1_admin SET role = 'andon_owner';

DO $$ BEGIN CREATE ROLE andon_owner NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;

DO $$ BEGIN CREATE ROLE andon_recorder NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;

DO $$ BEGIN CREATE ROLE andon_console NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;

DO $$ BEGIN CREATE ROLE andon_process NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;

DO $$ BEGIN CREATE ROLE andon_reader NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;

DO $$ BEGIN
    EXECUTE format('GRANT CREATE, CONNECT ON DATABASE %I TO andon_owner', current_database());
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$;

GRANT USAGE, CREATE ON SCHEMA public TO andon_owner;

DO $$ DECLARE thing record; BEGIN
    FOR thing IN SELECT c.oid::regclass AS name FROM pg_class c
        WHERE c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'bi'))
        AND c.relkind IN ('r', 'v', 'p') AND pg_get_userbyid(c.relowner) <> 'andon_owner'
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO andon_owner', thing.name);
    END LOOP;
    FOR thing IN SELECT p.oid::regprocedure AS name FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND pg_get_userbyid(p.proowner) <> 'andon_owner'
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO andon_owner', thing.name);
    END LOOP;
    FOR thing IN SELECT nspname FROM pg_namespace WHERE nspname = 'bi'
        AND pg_get_userbyid(nspowner) <> 'andon_owner' LOOP
        EXECUTE 'ALTER SCHEMA bi OWNER TO andon_owner';
    END LOOP;
END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;

GRANT USAGE ON SCHEMA public TO andon_recorder, andon_console, andon_process;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, andon_recorder, andon_console, andon_process, andon_reader;

REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, andon_recorder, andon_console, andon_process, andon_reader;

REVOKE EXECUTE ON FUNCTION backfill_facts(integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION backfill_facts(integer) TO andon_recorder;

REVOKE EXECUTE ON FUNCTION add_months(integer, timestamptz) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION add_months(integer, timestamptz) TO andon_recorder;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO andon_console;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO andon_process;

REVOKE ALL ON console_user, console_session FROM andon_process;

GRANT INSERT ON anomaly TO andon_recorder;

GRANT INSERT ON decision TO andon_recorder;

GRANT INSERT ON shot_verdict TO andon_recorder;

GRANT INSERT ON acknowledgement TO andon_recorder;

GRANT INSERT ON review TO andon_recorder;

GRANT INSERT ON dead_letter TO andon_recorder;

GRANT INSERT ON alert TO andon_recorder;

GRANT INSERT ON changeover TO andon_recorder;

GRANT SELECT ON history_version TO andon_recorder;

GRANT SELECT, INSERT ON policy_version TO andon_console;

GRANT SELECT, INSERT ON policy_audit TO andon_console;

GRANT SELECT, INSERT ON model_audit TO andon_console;

GRANT SELECT, INSERT, UPDATE ON console_user TO andon_console;

GRANT SELECT, INSERT, UPDATE ON console_session TO andon_console;

GRANT SELECT, INSERT ON console_handover TO andon_console;

GRANT SELECT, INSERT, UPDATE, DELETE ON review_lease TO andon_console;

GRANT SELECT, INSERT, UPDATE, DELETE ON reviewed_just_now TO andon_console;

GRANT SELECT, INSERT ON console_audit TO andon_console;

GRANT SELECT, INSERT ON policy_version TO andon_process;

GRANT SELECT, INSERT ON policy_audit TO andon_process;

GRANT SELECT, INSERT ON model_audit TO andon_process;

GRANT SELECT, INSERT ON console_audit TO andon_process;

GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO andon_console, andon_process;
