-- RelStorage's trigger on blob_chunk looks for other rows with the large object
-- of each row that is deleted. Without an index that is a scan of the table for
-- each, and RelStorage 3.0 and later make none: of 100,000 blobs 103 went in a
-- second, with an index 5,140. Anybody's index will do. Read from the catalogs:
-- a status waits for nobody.
CREATE OR REPLACE VIEW relpack.missing_blob_index AS
SELECT 'CREATE INDEX CONCURRENTLY relpack_blob_chunk_chunk ON public.blob_chunk (chunk)'::text AS statement,
       greatest(class.relpages, pg_stat_get_live_tuples(class.oid) / 150) AS pages,
       greatest(class.relpages, pg_stat_get_live_tuples(class.oid) / 150) >= 8 AS notable
FROM pg_catalog.pg_class AS class
WHERE class.relname = 'blob_chunk'
  AND class.relnamespace = to_regnamespace('public')
  AND class.relkind IN ('r', 'p')
  AND NOT EXISTS (
      SELECT
      FROM pg_catalog.pg_index AS index
      JOIN pg_catalog.pg_class AS known ON known.oid = index.indexrelid
      JOIN pg_catalog.pg_am AS method ON method.oid = known.relam
      JOIN pg_catalog.pg_attribute AS attribute
          ON attribute.attrelid = index.indrelid AND attribute.attnum = index.indkey[0]
      WHERE index.indrelid = class.oid
        AND attribute.attname = 'chunk'
        AND index.indisvalid
        AND index.indpred IS NULL
        AND method.amname IN ('btree', 'hash'));

COMMENT ON VIEW relpack.missing_blob_index IS
    'A row where blob_chunk has no index on chunk: deleting blobs that are kept in the database takes the longer, the more there are.';
COMMENT ON COLUMN relpack.missing_blob_index.statement IS 'What creates the index; "relpack migrate up" does.';
COMMENT ON COLUMN relpack.missing_blob_index.pages IS
    'About how many pages of blob_chunk are read for each blob that is deleted; in few nobody notices.';
COMMENT ON COLUMN relpack.missing_blob_index.notable IS 'Whether these are so many that somebody notices.';
