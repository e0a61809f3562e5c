-- Two that RelStorage does not make. A pack asks again and again which transactions up to its
-- pack time are not marked as packed: all but a few are, since the last one. Where commits
-- lock the table transaction, they would wait for whoever makes an index on it. A pack that
-- deletes blobs asks for the other one alone, as this view takes the planner longer.
-- Anybody's index will do. Read from the catalogs: a status waits for nobody.
CREATE OR REPLACE VIEW relpack.missing_index AS
SELECT 'blob_chunk' AS table_name, 'deleting blobs' AS slow, statement, pages, notable
FROM relpack.missing_blob_index
UNION ALL
SELECT 'transaction', 'each pack',
       'CREATE INDEX CONCURRENTLY relpack_transaction_unmarked ON public.transaction (tid) WHERE packed IS NOT TRUE',
       size.pages, size.pages >= 1000
FROM pg_catalog.pg_class AS class
CROSS JOIN LATERAL (
    SELECT greatest(class.relpages, pg_stat_get_live_tuples(class.oid) / 100) AS pages) AS size
WHERE class.relname = 'transaction'
  AND class.relnamespace = to_regnamespace('public')
  AND class.relkind = 'r'
  AND relpack.lock_protocol() IN ('advisory', 'row')
  AND NOT EXISTS (
      SELECT
      FROM pg_catalog.pg_index AS index
      JOIN pg_catalog.pg_class AS known ON known.oid = index.indexrelid
      JOIN pg_catalog.pg_am AS method ON method.oid = known.relam
      JOIN pg_catalog.pg_attribute AS attribute
          ON attribute.attrelid = index.indrelid AND attribute.attnum = index.indkey[0]
      WHERE index.indrelid = class.oid
        AND attribute.attname = 'tid'
        AND index.indisvalid
        AND pg_get_expr(index.indpred, index.indrelid) = '(packed IS NOT TRUE)'
        AND method.amname = 'btree');

COMMENT ON VIEW relpack.missing_index IS
    'A row for each index that a table of RelStorage''s lacks: one on blob_chunk (relpack.missing_blob_index), and in a '
    'history-preserving storage one on the transactions that are not marked as packed, without which each pack reads all '
    'up to its pack time.';
COMMENT ON COLUMN relpack.missing_index.table_name IS 'The table, in the schema public.';
COMMENT ON COLUMN relpack.missing_index.slow IS 'What is slow without the index.';
COMMENT ON COLUMN relpack.missing_index.statement IS 'What creates the index; "relpack migrate up" does.';
COMMENT ON COLUMN relpack.missing_index.pages IS
    'About how many pages of the table are read without it, for each blob that is deleted, or two to four times by each pack.';
COMMENT ON COLUMN relpack.missing_index.notable IS 'Whether these are so many that somebody notices.';
