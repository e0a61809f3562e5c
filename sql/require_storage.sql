-- What no comparison can heal is refused here.
CREATE OR REPLACE FUNCTION relpack.require_storage()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_off text;
    v_columns text[] := ARRAY['zoid bigint', 'tid bigint', 'state_size bigint', 'state bytea'];
BEGIN
    PERFORM relpack.lock_storage();
    -- Triggers fire for statements that name their table: a write to another
    -- table of the family, whose rows would be read, would not be noticed.
    IF (SELECT relkind FROM pg_class WHERE oid = to_regclass('public.object_state')) <> 'r'
       OR EXISTS (SELECT FROM pg_inherits WHERE to_regclass('public.object_state') IN (inhparent, inhrelid)) THEN
        RAISE EXCEPTION 'public.object_state is no plain table: it is partitioned, inherits or is inherited from, or is a view'
            USING ERRCODE = 'RP002';
    END IF;
    IF row_security_active('public.object_state') THEN
        RAISE EXCEPTION 'row-level security may hide objects from role %: what these refer to would look like garbage', current_user
            USING ERRCODE = 'RP002', HINT = format('ALTER ROLE %I BYPASSRLS; or pack as the owner of object_state.', current_user);
    END IF;
    SELECT string_agg(expected.name, ', ' ORDER BY expected.name)
    INTO v_off
    FROM unnest(v_columns) AS expected (name)
    WHERE expected.name <> ALL (ARRAY(
        SELECT format('%s %s', attname, format_type(atttypid, NULL))
        FROM pg_attribute
        WHERE attrelid = to_regclass('public.object_state') AND attnum > 0));
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'public.object_state lacks columns of RelStorage: %', v_off USING ERRCODE = 'RP002';
    END IF;
    -- RelStorage may use either.
    SELECT format('%I.object_state', nspname)
    INTO v_off
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relname = 'object_state'
      AND relkind IN ('r', 'p')
      AND nspname <> 'public'
      AND nspname !~ '^pg_'
      AND ARRAY(SELECT format('%s %s', attname, format_type(atttypid, NULL))
                FROM pg_attribute
                WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped) @> v_columns
    LIMIT 1;
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'there are two storages, public.object_state and %', v_off
            USING ERRCODE = 'RP002',
                  HINT = 'relpack packs public.object_state: if that is the one the application uses, rename or move the other.';
    END IF;
    SELECT pubname
    INTO v_off
    FROM pg_publication
    WHERE puballtables
       OR EXISTS (SELECT FROM pg_publication_namespace WHERE pnpubid = pg_publication.oid AND pnnspid = 'relpack'::regnamespace)
       OR EXISTS (SELECT
                  FROM pg_publication_rel
                  JOIN pg_class ON pg_class.oid = prrelid
                  WHERE prpubid = pg_publication.oid AND relnamespace = 'relpack'::regnamespace)
    LIMIT 1;
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'the publication % includes relpack''s tables, which stops its subscribers', v_off
            USING ERRCODE = 'RP002', HINT = 'Publish with FOR TABLES IN SCHEMA public instead.';
    END IF;
    PERFORM relpack.require_own();
    SELECT string_agg(expected.name, ', ' ORDER BY expected.name)
    INTO v_off
    FROM relpack.missing_trigger() AS expected (name);
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'triggers of relpack are missing or disabled: %', v_off
            USING ERRCODE = 'RP002', HINT = 'Run "relpack migrate up": it installs them again.';
    END IF;
    IF NOT EXISTS (SELECT FROM relpack.stored() WHERE zoid = 0) THEN
        -- Asked last: rows that were deleted may precede the first that is there.
        IF NOT EXISTS (SELECT FROM relpack.stored()) THEN
            RAISE EXCEPTION 'the storage is empty: there is nothing to pack'
                USING ERRCODE = 'RP002',
                      HINT = 'An application writes object 0 when it opens the storage for the first time. '
                             'If there were objects, restore them from a backup.';
        END IF;
        RAISE EXCEPTION 'the storage has no root object (zoid 0): everything would look like garbage'
            USING ERRCODE = 'RP002', HINT = 'Restore object 0 from a backup.';
    END IF;
    PERFORM relpack.require_root();
END;
$$;

COMMENT ON FUNCTION relpack.require_storage() IS
    'Locks object_state as relpack.lock_storage() does, and raises RP002 where it can''t be packed. '
    'The storage has no root object, or one without a state (relpack.require_root()), is no plain table, has other columns '
    'or may not be seen whole, or is one of two in the database; or relpack''s tables are published or not its own, or its '
    'triggers are not in force.';
