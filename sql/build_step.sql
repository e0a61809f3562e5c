-- What follows the scan, one step a call, so that each is a transaction of its
-- own and an interrupted build goes on with the step it was in.
CREATE OR REPLACE FUNCTION relpack.build_step()
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET maintenance_work_mem = '128MB'
SET work_mem = '64MB'
SET client_min_messages = warning
AS $$
DECLARE
    v_graph text;
    v_objects bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    SELECT graph INTO STRICT v_graph FROM relpack.storage;
    CASE v_graph
    WHEN 'scanning' THEN
        IF EXISTS (SELECT FROM relpack.scan_range) THEN
            RAISE EXCEPTION 'the scan is not finished' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
        END IF;
        PERFORM relpack.build_unique();
        UPDATE relpack.storage
        SET graph = 'indexing',
            objects = (SELECT count(*) FROM relpack.staged_object);
        ANALYZE relpack.staged_object;
    WHEN 'indexing' THEN
        IF to_regclass('relpack.object_inref_pkey') IS NULL THEN
            ALTER TABLE relpack.object_inref ADD CONSTRAINT object_inref_pkey PRIMARY KEY (zoid, inref);
        ELSIF to_regclass('relpack.object_inref_inref') IS NULL THEN
            CREATE INDEX object_inref_inref ON relpack.object_inref (inref);
        ELSE
            ANALYZE relpack.object_inref;
            TRUNCATE relpack.tree;
            DROP INDEX IF EXISTS relpack.tree_zoid;
            INSERT INTO relpack.tree (zoid, parent, level) VALUES (0, 0, 0);
            UPDATE relpack.storage SET graph = 'growing', frontier_rows = 1, frontier_block = 0;
        END IF;
    WHEN 'growing' THEN
        IF relpack.grow() = 0 THEN
            UPDATE relpack.storage SET graph = 'filling';
        END IF;
    WHEN 'filling' THEN
        DROP INDEX IF EXISTS relpack.tree_zoid;
        INSERT INTO relpack.object (zoid, tid, parent, class, size)
        SELECT staged.zoid, staged.tid, tree.parent, staged.class, staged.size
        FROM relpack.staged_object AS staged
        LEFT JOIN relpack.tree ON tree.zoid = staged.zoid;
        GET DIAGNOSTICS v_objects = ROW_COUNT;
        UPDATE relpack.storage
        SET graph = 'finishing',
            objects = v_objects,
            inrefs = (SELECT count(*) FROM relpack.object_inref);
    WHEN 'finishing' THEN
        IF to_regclass('relpack.object_pkey') IS NULL THEN
            ALTER TABLE relpack.object ADD CONSTRAINT object_pkey PRIMARY KEY (zoid);
        ELSIF to_regclass('relpack.object_detached') IS NULL THEN
            CREATE INDEX object_detached ON relpack.object (zoid) WHERE parent IS NULL;
        ELSE
            ANALYZE relpack.object;
            TRUNCATE relpack.staged_object, relpack.tree;
            UPDATE relpack.storage
            SET graph = CASE WHEN scan_disturbed THEN 'doubtful' ELSE 'known' END,
                applied_tid = watermark,
                collected_tid = watermark,
                frontier_rows = 0,
                scan_disturbed = false;
        END IF;
    ELSE
        RETURN NULL;
    END CASE;
    RETURN v_graph;
END;
$$;

COMMENT ON FUNCTION relpack.build_step() IS
    'One step of a first build after the scan: indexes, the spanning tree, the nodes. Returns what it worked on; NULL when the graph is built.';
