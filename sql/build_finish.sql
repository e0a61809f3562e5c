-- For relpack.build_step() alone, with its rights and lock_timeout. Out of turn it
-- would call a graph current that nobody has compared.
CREATE OR REPLACE FUNCTION relpack.build_finish()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    IF NOT EXISTS (SELECT FROM relpack.storage WHERE graph = 'finishing') THEN
        RAISE EXCEPTION 'no first build is at its end' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;
    IF to_regclass('relpack.object_inref_pkey') IS NULL THEN
        LOCK TABLE relpack.object_inref IN SHARE MODE;
        PERFORM set_config('lock_timeout', '500ms', true);
        ALTER TABLE relpack.object_inref
            ADD CONSTRAINT object_inref_pkey PRIMARY KEY USING INDEX object_inref_zoid;
    ELSIF to_regclass('relpack.object_pkey') IS NULL THEN
        IF to_regclass('relpack.object_zoid') IS NULL THEN
            CREATE UNIQUE INDEX object_zoid ON relpack.object (zoid);
        ELSE
            LOCK TABLE relpack.object IN SHARE MODE;
            PERFORM set_config('lock_timeout', '500ms', true);
            ALTER TABLE relpack.object ADD CONSTRAINT object_pkey PRIMARY KEY USING INDEX object_zoid;
        END IF;
    ELSE
        ANALYZE relpack.object, relpack.object_inref;
        PERFORM relpack.count_dangling();
        PERFORM relpack.scratch_clear('relpack.staged_object'),
                relpack.scratch_clear('relpack.reached');
        UPDATE relpack.storage
        SET graph = CASE WHEN scan_disturbed THEN 'doubtful' ELSE 'current' END,
            applied_tid = watermark,
            listed_tid = watermark,
            scan_disturbed = false;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.build_finish() IS
    'Step of relpack.build_step(): attaches one primary key a call, and then the graph is built. '
    'Raises RP002 in any other state of the graph.';
