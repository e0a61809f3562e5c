-- What another database refers to looks like garbage here. To know the number of
-- references is not enough to tell it from garbage: what they lead to may refer
-- to more.
CREATE OR REPLACE FUNCTION relpack.require_unreferred()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_holders text;
    v_known text;
    v_unread text[];
BEGIN
    SELECT string_agg(
               format('%s (%s)', holder,
                      CASE
                          WHEN refs > 0 THEN format('%s reference%s', refs, CASE WHEN refs > 1 THEN 's' END)
                          WHEN unreadable > 0 THEN
                              format('%s object%s that can''t be decoded', unreadable, CASE WHEN unreadable > 1 THEN 's' END)
                          ELSE 'never read'
                      END), ', ' ORDER BY holder),
           string_agg(DISTINCT format('SELECT relpack.forget_referrer(%L);', holder), ' ') FILTER (WHERE looked IS NOT NULL),
           array_agg(DISTINCT holder) FILTER (WHERE looked IS NULL)
    INTO v_holders, v_known, v_unread
    FROM relpack.referred_by
    WHERE refs > 0 OR unreadable > 0 OR looked IS NULL;
    IF v_holders IS NOT NULL THEN
        RAISE EXCEPTION 'objects of other databases refer to this storage, or may: %; what they refer to looks like garbage here', v_holders
            USING ERRCODE = 'RP002',
                  HINT = concat_ws(' ',
                      'Pack it together with them (zc.zodbdgc does). Of storages that are gone: ' || v_known,
                      (SELECT format('Correct the dsn of %s in the configuration file, run "relpack migrate up" there, and pack again. '
                                     'If they refer to nothing here, and never will: '
                                     'UPDATE relpack.referred_by SET looked = ''infinity'' WHERE holder IN (%s); '
                                     'if it was a mistake, or they are gone, take them out of the file and run here: %s',
                                     string_agg(quote_ident(holder), ', '),
                                     string_agg(quote_literal(holder), ', '),
                                     string_agg(format('SELECT relpack.forget_referrer(%L);', holder), ' '))
                       FROM unnest(v_unread) AS unread (holder)
                       HAVING count(*) > 0));
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_unreferred() IS
    'Precondition of relpack.sweep(): raises RP002 while another database refers to objects of this one, or may '
    '(relpack.referred_by), and says which and how often.';
