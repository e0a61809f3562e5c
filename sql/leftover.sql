-- Tables that other packers leave filled.
CREATE OR REPLACE VIEW relpack.leftover AS
SELECT tool.owner,
       format('%I.%I', namespace.nspname, class.relname) AS table_name,
       pg_total_relation_size(class.oid) AS bytes,
       format('TRUNCATE %I.%I;', namespace.nspname, class.relname) AS remedy
FROM (VALUES ('relstorage_packer', 'object_inrefs'),
             ('zodbpack', 'object_ref'),
             ('zodbpack', 'object_refs_added'),
             ('zodbpack', 'pack_object'),
             ('zodbpack', 'pack_state'),
             ('zodbpack', 'pack_state_tid')) AS tool (owner, table_name)
JOIN pg_catalog.pg_class AS class ON class.relname = tool.table_name AND class.relkind = 'r'
JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE pg_relation_size(class.oid) > 0
ORDER BY bytes DESC;

COMMENT ON VIEW relpack.leftover IS
    'Tables that relstorage_packer or zodbpack left filled and that cost space. '
    'relpack never touches them; zodbpack fills its own again when it is used.';
COMMENT ON COLUMN relpack.leftover.owner IS 'The tool that filled it.';
COMMENT ON COLUMN relpack.leftover.table_name IS 'The table.';
COMMENT ON COLUMN relpack.leftover.bytes IS 'Its size with indexes.';
COMMENT ON COLUMN relpack.leftover.remedy IS 'How to empty it, when that tool is not running.';
