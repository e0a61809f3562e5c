-- Tids of a history-preserving storage come from its transactions, of which the newest
-- one stays when all that it wrote is gone.
CREATE OR REPLACE FUNCTION relpack.newest_tid()
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_newest bigint := (SELECT max(stored.tid) FROM relpack.stored());
BEGIN
    IF relpack.keeps_history() THEN
        RETURN greatest(v_newest, (SELECT max(tid) FROM public.transaction));
    END IF;
    RETURN v_newest;
END;
$$;

COMMENT ON FUNCTION relpack.newest_tid() IS
    'The highest tid of the storage: none that is committed later is below it. NULL: it is empty.';
