-- What follows the scan, one step a call, so that each is a transaction of its
-- own and an interrupted build goes on with the step it was in. Indexes are
-- built under a lock that lets readers go on; only to attach one as a primary
-- key takes a strong lock, which is not waited for long. SECURITY DEFINER for
-- the reason that relpack.build_reset() has.
CREATE OR REPLACE FUNCTION relpack.build_step(OUT step text, OUT added bigint)
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET maintenance_work_mem = '128MB'
SET work_mem = '64MB'
SET lock_timeout = '500ms'
SET client_min_messages = warning
AS $$
DECLARE
    v_half bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    SELECT graph INTO STRICT step FROM relpack.storage;
    CASE step
    WHEN 'scanning' THEN
        IF EXISTS (SELECT FROM relpack.scan_range) THEN
            RAISE EXCEPTION 'the scan is not finished' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
        END IF;
        PERFORM relpack.build_unique();
        -- Of what the first build finds unreachable nobody knows since when.
        INSERT INTO relpack.capture (watermark, read_until) VALUES (0, clock_timestamp());
        UPDATE relpack.storage
        SET graph = 'indexing',
            objects = (SELECT count(*) FROM relpack.staged_object);
        ANALYZE relpack.staged_object;
    WHEN 'indexing' THEN
        IF to_regclass('relpack.object_inref_inref') IS NULL THEN
            CREATE INDEX object_inref_inref ON relpack.object_inref (inref);
        ELSE
            ANALYZE relpack.object_inref;
            PERFORM relpack.clear_scratch('relpack.tree');
            INSERT INTO relpack.tree (zoid, parent, level) VALUES (0, 0, 0);
            UPDATE relpack.storage SET graph = 'growing', frontier_rows = 1, frontier_block = 0;
        END IF;
    WHEN 'growing' THEN
        added := relpack.grow();
        IF added = 0 THEN
            DROP INDEX IF EXISTS relpack.tree_zoid;
            -- Two halves: each hashes the whole tree.
            v_half := pg_relation_size('relpack.staged_object') / current_setting('block_size')::bigint / 2 + 1;
            INSERT INTO relpack.scan_range (first_block, last_block)
            VALUES (0, v_half - 1), (v_half, 2 * v_half - 1);
            UPDATE relpack.storage SET graph = 'filling';
        END IF;
    WHEN 'filling' THEN
        added := relpack.fill();
        IF added IS NULL THEN
            -- Another session may be at the last range.
            PERFORM FROM relpack.scan_range FOR UPDATE;
            UPDATE relpack.storage
            SET graph = 'finishing',
                objects = (SELECT count(*) FROM relpack.object),
                inrefs = (SELECT count(*) FROM relpack.object_inref)
            WHERE NOT EXISTS (SELECT FROM relpack.scan_range);
        END IF;
    WHEN 'finishing' THEN
        IF to_regclass('relpack.object_inref_pkey') IS NULL THEN
            PERFORM relpack.build_key();
            ALTER TABLE relpack.object_inref
                ADD CONSTRAINT object_inref_pkey PRIMARY KEY USING INDEX object_inref_zoid;
        ELSIF to_regclass('relpack.object_pkey') IS NULL THEN
            IF to_regclass('relpack.object_zoid') IS NULL THEN
                CREATE UNIQUE INDEX object_zoid ON relpack.object (zoid);
            ELSE
                ALTER TABLE relpack.object ADD CONSTRAINT object_pkey PRIMARY KEY USING INDEX object_zoid;
            END IF;
        ELSIF to_regclass('relpack.object_detached') IS NULL THEN
            CREATE INDEX object_detached ON relpack.object (zoid) WHERE coalesce(parent, -1) = -1;
        ELSE
            ANALYZE relpack.object;
            PERFORM relpack.clear_scratch('relpack.staged_object'),
                    relpack.clear_scratch('relpack.tree');
            UPDATE relpack.storage
            SET graph = CASE WHEN scan_disturbed THEN 'doubtful' ELSE 'known' END,
                applied_tid = watermark,
                collected_tid = watermark,
                frontier_rows = 0,
                scan_disturbed = false;
        END IF;
    ELSE
        step := NULL;
    END CASE;
END;
$$;

COMMENT ON FUNCTION relpack.build_step() IS
    'One step of a first build after the scan: indexes, the spanning tree, the nodes. step: what it worked on, NULL when the graph is built; added: objects reached or entered by it. Raises lock_not_available when a reader such as pg_dump is in the way: try again.';
