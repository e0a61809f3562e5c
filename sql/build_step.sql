-- What follows the scan, one step a call, so that each is a transaction of its
-- own and an interrupted build goes on with the step it was in. Indexes are
-- built under a lock that lets readers go on, and is waited for until autovacuum
-- has given way; only to attach one as a primary key takes a strong lock, which
-- is not waited for long. SECURITY DEFINER for the reason that
-- relpack.build_reset() has.
CREATE OR REPLACE FUNCTION relpack.build_step(OUT step text, OUT added bigint)
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET maintenance_work_mem = '32MB'
SET work_mem = '64MB'
SET lock_timeout = '5s'
SET client_min_messages = warning
AS $$
BEGIN
    PERFORM relpack.require_packer();
    PERFORM relpack.require_pack_lock();
    SELECT graph INTO STRICT step FROM relpack.storage;
    CASE step
    WHEN 'scanning' THEN
        IF EXISTS (SELECT FROM relpack.scan_range) THEN
            RAISE EXCEPTION 'the scan is not finished' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
        END IF;
        PERFORM relpack.build_drop_doubles();
        -- Of what the first build finds unreachable nobody knows since when.
        INSERT INTO relpack.capture (watermark, read_until) VALUES (0, relpack.capture_read_until());
        UPDATE relpack.storage SET graph = 'indexing';
    WHEN 'indexing' THEN
        PERFORM relpack.build_index_inref();
        UPDATE relpack.storage SET graph = 'marking';
    WHEN 'marking' THEN
        -- Few of the rows to come are in this one.
        CREATE INDEX object_detached ON relpack.object (zoid) WHERE coalesce(parent, -1) = -1;
        added := relpack.build_mark();
        PERFORM relpack.list_ranges();
        UPDATE relpack.storage SET graph = 'filling';
    WHEN 'filling' THEN
        IF relpack.build_index_keys() THEN
            RETURN;
        END IF;
        added := relpack.build_enter();
        IF added IS NULL THEN
            -- Another session may be at the last range.
            PERFORM FROM relpack.fill_range FOR UPDATE;
            UPDATE relpack.storage
            SET graph = 'finishing'
            WHERE NOT EXISTS (SELECT FROM relpack.fill_range);
        END IF;
    WHEN 'finishing' THEN
        PERFORM relpack.build_finish();
    ELSE
        step := NULL;
    END CASE;
END;
$$;

COMMENT ON FUNCTION relpack.build_step() IS
    'One step of a first build after the scan: indexes, the spanning tree, the nodes. '
    'step: what it worked on, NULL when the graph is built; added: objects reached or entered by it. '
    'Raises lock_not_available when a reader such as pg_dump is in the way: try again.';
