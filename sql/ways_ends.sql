CREATE OR REPLACE FUNCTION relpack.ways_ends(up integer[], OUT ends integer[], OUT depths integer[])
LANGUAGE plpgsql
IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_from integer;
    v_base integer;
    j integer;
    k integer;
BEGIN
    ends := array_fill(0, ARRAY[cardinality(up)]);
    depths := ends;
    FOR i IN 1 .. cardinality(up) LOOP
        -- Up to what is known, and down again with what follows from that.
        j := i;
        k := 0;
        WHILE ends[j] = 0 LOOP
            IF up[j] IS NULL THEN
                ends[j] := j;
            ELSE
                j := up[j];
                k := k + 1;
                IF k > cardinality(up) THEN
                    -- Parents form a circle.
                    ends := NULL;
                    RETURN;
                END IF;
            END IF;
        END LOOP;
        v_from := ends[j];
        v_base := depths[j];
        j := i;
        FOR k IN REVERSE v_base + k .. v_base + 1 LOOP
            ends[j] := v_from;
            depths[j] := k;
            j := up[j];
        END LOOP;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION relpack.ways_ends(integer[]) IS
    'Step of relpack.ways_up(): where the way from each place ends, and how far up that is. '
    'up: the place above each; NULL: a way ends here. ends is NULL where some way goes round in a circle.';
