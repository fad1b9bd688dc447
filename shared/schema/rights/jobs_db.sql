GRANT CONNECT ON DATABASE jobs_db TO ml_gateway, ml_worker, ml_trainer;  -- the trainer: for a lock, and no table
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO ml_worker;  -- workers make and upgrade the tables
GRANT USAGE ON SCHEMA public TO ml_gateway;
CREATE TABLE IF NOT EXISTS schema_version (version int PRIMARY KEY);

-- Whoever made what is there, an earlier release say: it is the workers' now.
DO $$
DECLARE
    made text;
BEGIN
    FOR made IN SELECT format('TABLE %s', oid::regclass) FROM pg_class
                 WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                 UNION ALL
                SELECT format('FUNCTION %s', oid::regprocedure) FROM pg_proc
                 WHERE pronamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER %s OWNER TO ml_worker', made);
    END LOOP;
END
$$;

GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO ml_gateway;
ALTER DEFAULT PRIVILEGES FOR ROLE ml_worker IN SCHEMA public GRANT SELECT, INSERT, UPDATE ON TABLES TO ml_gateway;
REVOKE INSERT, UPDATE ON schema_version FROM ml_gateway;
