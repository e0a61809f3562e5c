-- Too many is safe here, too few is not: any 8 bytes of the state count. Where
-- oids are not plain bytes (compressed, encrypted, protocol 0) the answer is
-- yes. Binary pickles begin with PROTO (0x80) or, as Python 2 wrote protocol 1,
-- memoise the class with BINPUT ("q") where protocol 0 has PUT ("p").
CREATE OR REPLACE FUNCTION relpack.may_mention(state bytea, doomed bigint[])
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Concatenation detoasts once, not once a byte.
    v_state bytea := state || ''::bytea;
    v_head bytea := substring(state FROM 1 FOR 400);
    v_line integer;
    v_high bigint;
    v_windows bigint[];
BEGIN
    IF state IS NULL OR length(v_state) < 8 THEN
        RETURN false;
    END IF;
    IF get_byte(v_head, 0) <> 128 THEN
        v_line := position('\x0a'::bytea IN v_head);
        v_line := v_line + position('\x0a'::bytea IN substring(v_head FROM v_line + 1));
        IF get_byte(v_head, 0) NOT IN (40, 99) OR v_line >= length(v_head)
           OR get_byte(v_head, v_line) <> 113 THEN
            RETURN true;
        END IF;
    END IF;
    SELECT greatest(max(zoid), (SELECT max(d) FROM unnest(doomed) AS d))
    INTO v_high
    FROM relpack.object
    WHERE parent IS NULL;
    IF v_high IS NULL THEN
        RETURN false;
    END IF;
    SELECT array_agg(DISTINCT wide)
    INTO v_windows
    FROM generate_series(0, length(v_state) - 8) AS place,
         LATERAL (SELECT ('x' || encode(substring(v_state FROM place + 1 FOR 8), 'hex'))::bit(64)::bigint
                  WHERE get_byte(v_state, place) <= v_high >> 56) AS wider (wide)
    WHERE wide BETWEEN 0 AND v_high;
    RETURN EXISTS (SELECT FROM relpack.object WHERE zoid = ANY (v_windows) AND parent IS NULL)
        OR EXISTS (SELECT FROM unnest(v_windows) AS w JOIN unnest(doomed) AS d ON d = w);
END;
$$;

COMMENT ON FUNCTION relpack.may_mention(bytea, bigint[]) IS
    'Whether a state may refer to an unreachable object, or to one of the given ones: any 8 bytes that name one count. True as well for states in which references are not plain bytes.';
