CREATE OR REPLACE FUNCTION relpack.sweep_fit(objects bigint[], batch integer, locks bigint)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_fits bigint := least(cardinality(objects), batch);
BEGIN
    -- In two statements: without the table the second can't be planned.
    IF to_regclass('public.blob_chunk') IS NULL THEN
        RETURN v_fits;
    END IF;
    -- Most storages have it, and keep their blobs in files.
    IF NOT EXISTS (SELECT FROM public.blob_chunk) THEN
        RETURN v_fits;
    END IF;
    IF (SELECT count(*) FROM public.blob_chunk WHERE zoid = ANY (objects)) > locks THEN
        SELECT greatest(count(*) FILTER (WHERE counted.chunks <= locks), 1)
        INTO v_fits
        FROM (
            SELECT sum((SELECT count(*) FROM public.blob_chunk WHERE blob_chunk.zoid = chosen.zoid))
                       OVER (ORDER BY chosen.place) AS chunks
            FROM unnest(objects[1:v_fits]) WITH ORDINALITY AS chosen (zoid, place)
        ) AS counted;
    END IF;
    RETURN v_fits;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_fit(bigint[], integer, bigint) IS
    'Step of relpack.sweep_choose(): how many of these objects, from the first, are no more than a batch and no more '
    'large objects than there are locks; at least one.';
