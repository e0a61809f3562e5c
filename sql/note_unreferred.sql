-- Trigger function of relpack.referred_by. What only another storage referred to
-- was in use until it was found not to be any more, and nobody knows since when:
-- the grace of all that is unreachable begins now. What was chosen for deletion
-- before is chosen again.
CREATE OR REPLACE FUNCTION relpack.note_unreferred()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A storage that was not known may have referred to this one as well.
    v_before boolean := CASE
        WHEN tg_op IN ('UPDATE', 'DELETE') THEN old.refs > 0 OR old.unreadable > 0 OR old.looked IS NULL
        ELSE true
        END;
    v_after boolean := CASE
        WHEN tg_op IN ('INSERT', 'UPDATE') THEN new.refs > 0 OR new.unreadable > 0 OR new.looked IS NULL
        ELSE false
        END;
BEGIN
    IF v_before AND NOT v_after THEN
        UPDATE relpack.storage
        SET unreferred = clock_timestamp(), begun_until = 0, doomed_tid = 0;
    END IF;
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.note_unreferred() IS
    'Trigger function: when a row of relpack.referred_by ceases to say that a storage refers to this one, or may, the '
    'grace of all that is unreachable begins.';
