-- What is right for one kind of storage deletes live data of the other.
CREATE OR REPLACE FUNCTION relpack.require_kind(history boolean)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_keeps boolean := relpack.keeps_history();
    v_storage relpack.storage := relpack.known_storage();
BEGIN
    IF v_keeps <> v_storage.keeps_history THEN
        RAISE EXCEPTION 'the storage is %, and was % when relpack was installed',
                        CASE WHEN v_keeps THEN 'history-preserving' ELSE 'history-free' END,
                        CASE WHEN v_keeps THEN 'history-free' ELSE 'history-preserving' END
            USING ERRCODE = 'RP002', HINT = 'Run "relpack migrate down", then "relpack migrate up": '
                                             'what relpack knows is of the other one.';
    END IF;
    IF history AND NOT v_keeps THEN
        RAISE EXCEPTION 'the storage is history-free: there is nothing to trim' USING ERRCODE = 'RP002';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_kind(boolean) IS
    'Raises RP002 unless the storage is of the kind that it was when relpack was installed, and with history a '
    'history-preserving one, or where relpack.storage has lost its row.';
