-- Too many is safe here, too few is not: any 8 bytes of a state count as a
-- reference. Where oids are not plain bytes (compressed, encrypted, protocol
-- 0) the answer is NULL: unknown. Binary pickles begin with PROTO (0x80) or,
-- as Python 2 wrote protocol 1, memoise the class with BINPUT ("q") where
-- protocol 0 has PUT ("p").
CREATE OR REPLACE FUNCTION relpack.windows(state bytea, high bigint)
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Concatenation detoasts once, not once a byte.
    v_state bytea := state || ''::bytea;
    v_head bytea := substring(state FROM 1 FOR 400);
    v_line integer;
BEGIN
    IF state IS NULL OR length(v_state) < 8 THEN
        RETURN;
    END IF;
    IF get_byte(v_head, 0) <> 128 THEN
        v_line := position('\x0a'::bytea IN v_head);
        v_line := v_line + position('\x0a'::bytea IN substring(v_head FROM v_line + 1));
        IF get_byte(v_head, 0) NOT IN (40, 99) OR v_line >= length(v_head)
           OR get_byte(v_head, v_line) <> 113 THEN
            RETURN NEXT NULL;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    SELECT wide.oid
    FROM generate_series(0, length(v_state) - 8) AS place,
         LATERAL (SELECT ('x' || encode(substring(v_state FROM place + 1 FOR 8), 'hex'))::bit(64)::bigint
                  WHERE get_byte(v_state, place) <= high >> 56) AS wide (oid)
    WHERE wide.oid BETWEEN 0 AND high;
END;
$$;

COMMENT ON FUNCTION relpack.windows(bytea, bigint) IS
    'What a state may refer to, without decoding it: every 8 bytes of it that, read as an oid, are at most high. NULL when references need not be plain bytes in it.';
