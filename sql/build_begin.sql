-- The watermark is set before the first block is read: what is written from
-- now on has a higher tid or makes an event. Blocks added later hold nothing
-- else.
CREATE OR REPLACE FUNCTION relpack.build_begin(blocks integer DEFAULT 2048)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_last bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.require_storage();
    IF (SELECT graph FROM relpack.storage) <> 'none' THEN
        RAISE EXCEPTION 'there is already a graph' USING ERRCODE = 'RP002', HINT = 'Call relpack.build_reset() first.';
    END IF;
    IF NOT relpack.try_writers_lock() THEN
        RETURN false;
    END IF;
    UPDATE relpack.storage
    SET graph = 'scanning',
        watermark = relpack.newest_tid(),
        replaced = CASE WHEN relation NOT IN (0, 'public.object_state'::regclass) THEN now() ELSE replaced END,
        relation = 'public.object_state'::regclass,
        filenode = pg_relation_filenode('public.object_state'),
        trigger_identity = relpack.trigger_identity(),
        column_identity = relpack.column_identity(),
        graph_identity = relpack.graph_identity();
    -- All that is recorded from now on is read from now on.
    PERFORM relpack.audit_whole(clock_timestamp());
    v_last := pg_relation_size('public.object_state') / current_setting('block_size')::bigint;
    INSERT INTO relpack.scan_range (first_block, last_block)
    SELECT first_block, first_block + blocks - 1
    FROM generate_series(0, v_last, blocks) AS range (first_block);
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.build_begin(integer) IS
    'Starts a first build: notes the watermark and lists the ranges of blocks to read. '
    'False when the writers'' lock could not be had: try again.';
