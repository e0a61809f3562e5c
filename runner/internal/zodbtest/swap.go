package zodbtest

// SwapFiles gives object_state the files of a copy, as pg_repack does. It is part
// of a transaction, and leaves the table copied behind.
const SwapFiles = `
	LOCK TABLE object_state IN ACCESS EXCLUSIVE MODE;
	CREATE TABLE copied (LIKE object_state INCLUDING ALL);
	INSERT INTO copied SELECT * FROM object_state;
	CREATE TEMPORARY TABLE swap ON COMMIT DROP AS
	SELECT old.oid AS old, old.relfilenode AS old_file, new.oid AS new, new.relfilenode AS new_file
	FROM pg_index AS old_index
	JOIN pg_class AS old ON old.oid = old_index.indexrelid
	JOIN pg_index AS new_index ON new_index.indrelid = 'copied'::regclass AND new_index.indkey::text = old_index.indkey::text
	JOIN pg_class AS new ON new.oid = new_index.indexrelid
	WHERE old_index.indrelid = 'object_state'::regclass
	UNION ALL
	SELECT old.oid, old.relfilenode, new.oid, new.relfilenode
	FROM pg_class AS old, pg_class AS new
	WHERE old.oid = 'object_state'::regclass AND new.oid = 'copied'::regclass;
	UPDATE pg_class SET relfilenode = new_file FROM swap WHERE oid = old;
	UPDATE pg_class SET relfilenode = old_file FROM swap WHERE oid = new`
