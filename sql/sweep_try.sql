CREATE OR REPLACE FUNCTION relpack.sweep_try(
    chosen bigint[], saturated boolean, decoder boolean,
    OUT outcome text, OUT objects bigint, OUT bytes bigint, OUT blobs bigint, OUT remaining bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    remaining := (SELECT doomed_left FROM relpack.storage);
    BEGIN
        PERFORM set_config('relpack.sweeping', pg_current_xact_id()::text, true);
        SELECT done.outcome, done.objects, done.bytes, done.blobs
        INTO outcome, objects, bytes, blobs
        FROM relpack.sweep_batch(chosen, saturated, decoder) AS done;
        -- What follows in this transaction is no sweep's.
        PERFORM set_config('relpack.sweeping', '', true);
        -- Counted for each batch, garbage would be read as often as there are
        -- batches. Whether the deletion is over, the table itself tells.
        remaining := remaining - cardinality(chosen);
        IF remaining <= 0 THEN
            remaining := (SELECT count(*) FROM relpack.doomed);
        END IF;
        UPDATE relpack.storage
        SET doomed_left = sweep_try.remaining,
            begun_until = CASE WHEN sweep_try.remaining > 0 THEN greatest(storage.begun_until, storage.doomed_until) ELSE 0 END;
        IF outcome = 'undecoded' THEN
            -- Nobody can commit before this is taken away.
            INSERT INTO relpack.undecoded DEFAULT VALUES;
        ELSE
            outcome := 'swept';
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'RP003' THEN
            outcome := CASE SQLERRM WHEN 'changed' THEN 'stale' ELSE SQLERRM END;
        WHEN lock_not_available OR deadlock_detected THEN
            outcome := 'busy';
        WHEN foreign_key_violation OR restrict_violation THEN
            outcome := 'held';
    END;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_try(bigint[], boolean, boolean) IS
    'Step of relpack.sweep(): deletes a batch, or leaves everything as it was. '
    'outcome: swept, undecoded, busy, stale or saturated as of relpack.sweep_batch(), or held where rows of another table '
    'refer to one of its objects. remaining: of relpack.doomed.';
