-- A graph of which a part is missing can't be mended by comparing: what is gone
-- would look like garbage. It is counted only when there is a reason to.
CREATE OR REPLACE FUNCTION relpack.graph_lost()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_objects bigint;
    v_inrefs bigint;
BEGIN
    SELECT * INTO v_storage FROM relpack.storage;
    IF NOT FOUND OR v_storage.graph = 'none' THEN
        RETURN NULL;
    END IF;
    IF v_storage.graph NOT IN ('current', 'doubtful') THEN
        RETURN CASE WHEN v_storage.graph_identity <> relpack.graph_identity()
                    THEN 'relpack''s own tables were emptied, rewritten or restored while the graph was being built' END;
    END IF;
    IF EXISTS (
        SELECT
        FROM relpack.missing
        WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = missing.zoid)) THEN
        RETURN 'the graph has lost the nodes of missing objects';
    END IF;
    IF NOT EXISTS (SELECT FROM relpack.class WHERE id = 1) THEN
        RETURN 'relpack.class has lost its rows';
    END IF;
    IF relpack.doubt() IS NULL AND NOT EXISTS (SELECT FROM relpack.write_event WHERE kind = 'truncated') THEN
        RETURN NULL;
    END IF;
    v_objects := (SELECT count(*) FROM relpack.object);
    v_inrefs := (SELECT count(*) FROM relpack.object_inref);
    RETURN CASE
        WHEN v_objects <> v_storage.objects
            THEN format('relpack.object has %s row%s, not %s', v_objects, CASE WHEN v_objects <> 1 THEN 's' END, v_storage.objects)
        WHEN v_inrefs <> v_storage.inrefs
            THEN format('relpack.object_inref has %s row%s, not %s', v_inrefs, CASE WHEN v_inrefs <> 1 THEN 's' END, v_storage.inrefs)
        END;
END;
$$;

COMMENT ON FUNCTION relpack.graph_lost() IS
    'Which part of the graph is not there any more (restored without its data, emptied, truncated): it has to be '
    'built again. NULL when all of it is there. Counts its rows when the graph may not match the storage, and else takes no time.';
