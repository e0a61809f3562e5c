package sqltest

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/internal/packtest"
	"relpack/sql"
)

func TestEverythingInTheSchemaHasAComment(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewStorage(t)
	for _, silent := range packtest.Lines(t, conn, `
		SELECT format('%s %s.%s', class.relkind, class.relname, attribute.attname)
		FROM pg_class AS class
		LEFT JOIN pg_attribute AS attribute
		    ON attribute.attrelid = class.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
		WHERE class.relnamespace = 'relpack'::regnamespace
		  AND class.relkind IN ('r', 'v', 'm', 'p')
		  AND class.relname <> 'goose_db_version'
		  AND (obj_description(class.oid, 'pg_class') IS NULL
		       OR (attribute.attnum IS NOT NULL AND col_description(class.oid, attribute.attnum) IS NULL))
		UNION ALL
		SELECT 'function ' || oid::regprocedure
		FROM pg_proc
		WHERE pronamespace = 'relpack'::regnamespace
		  AND obj_description(oid, 'pg_proc') IS NULL
		UNION ALL
		SELECT 'trigger ' || tgname
		FROM pg_trigger
		WHERE tgname LIKE 'relpack%'
		  AND obj_description(oid, 'pg_trigger') IS NULL
		UNION ALL
		SELECT 'schema relpack'
		WHERE obj_description('relpack'::regnamespace, 'pg_namespace') IS NULL`) {
		t.Errorf("no comment: %s", silent)
	}
	if triggers := packtest.Get[int](t, conn, "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'relpack%'"); triggers != 18 {
		t.Errorf("%d triggers", triggers)
	}
}

func TestEveryFunctionHasAFixedSearchPathAndIsClosedToThePublic(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewStorage(t)
	for _, open := range packtest.Lines(t, conn, `
		SELECT function.oid::regprocedure || ': ' || problem.text
		FROM pg_proc AS function
		CROSS JOIN LATERAL (
		    -- A body parsed on creation has looked its names up already; what
		    -- every commit calls, and what is put in the place of its call, says
		    -- where each of its names is.
		    SELECT 'search_path is not fixed'
		    WHERE function.prosqlbody IS NULL AND function.proname NOT IN ('trigger_lock', 'trigger_write', 'stored')
		      AND NOT EXISTS (
		        SELECT FROM unnest(function.proconfig) AS setting WHERE setting LIKE 'search\_path=pg\_catalog, %pg\_temp')
		    UNION ALL
		    SELECT 'PUBLIC may execute it'
		    WHERE EXISTS (
		        SELECT FROM aclexplode(coalesce(function.proacl, acldefault('f', function.proowner))) AS item
		        WHERE item.grantee = 0)
		    UNION ALL
		    -- These need the owner of relpack's tables; the triggers serve
		    -- roles that may do nothing in the schema.
		    SELECT 'SECURITY DEFINER without need'
		    WHERE function.prosecdef AND function.prorettype <> 'trigger'::regtype
		      AND function.proname NOT IN ('build_reset', 'build_step', 'build_index_keys', 'build_index_inref', 'doom_analyze')
		    UNION ALL
		    -- Privileges get lost: see relpack.require_packer().
		    SELECT 'it does not ask who calls it'
		    WHERE function.prosecdef AND function.prorettype <> 'trigger'::regtype
		      AND function.prosrc NOT LIKE '%relpack.require_packer()%'
		) AS problem (text)
		WHERE function.pronamespace = 'relpack'::regnamespace`) {
		t.Error(open)
	}
	if packtest.Get[bool](t, conn, "SELECT has_schema_privilege('public', 'relpack', 'USAGE')") {
		t.Error("PUBLIC may use the schema")
	}
}

// RelStorage looks for its own names in every schema.
func TestNoNameIsOneOfRelStorages(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewStorage(t)
	for _, taken := range packtest.Lines(t, conn, `
		WITH theirs (name) AS (
		    SELECT unnest(ARRAY[
		        'object_state', 'object_ref', 'object_refs_added', 'object_inrefs', 'pack_object', 'pack_state',
		        'pack_state_tid', 'pack_lock', 'transaction', 'current_object', 'new_oid', 'zoid_seq', 'temp_store',
		        'temp_read_current', 'temp_blob_chunk', 'temp_pack_visit', 'temp_undo', 'blob_chunk',
		        'blob_chunk_delete', 'blob_chunk_delete_trigger', 'commit_lock', 'commit_row_lock',
		        'lock_objects_and_detect_conflicts', 'lock_and_choose_tid', 'lock_and_choose_tid_and_move',
		        'lock_and_move', 'choose_next_tid', 'truncate', 'prune_current_object', 'hint_block'])
		), ours (name) AS (
		    SELECT relname FROM pg_class WHERE relnamespace = 'relpack'::regnamespace
		    UNION ALL
		    SELECT proname FROM pg_proc WHERE pronamespace = 'relpack'::regnamespace
		    UNION ALL
		    SELECT tgname FROM pg_trigger WHERE tgname LIKE 'relpack%'
		)
		SELECT ours.name::text FROM ours JOIN theirs ON lower(ours.name) = theirs.name`) {
		t.Errorf("%s is RelStorage's name", taken)
	}
}

// code is all that sql/ defines: text, comments and privileges.
const code = `
	SELECT oid::regprocedure || E'\n' || pg_get_functiondef(oid)
	       || coalesce(obj_description(oid, 'pg_proc'), '') || coalesce(proacl::text, ' default privileges')
	FROM pg_proc
	WHERE pronamespace = 'relpack'::regnamespace
	UNION ALL
	SELECT oid::regclass || E'\n' || pg_get_viewdef(oid)
	       || coalesce(obj_description(oid, 'pg_class'), '') || coalesce(relacl::text, ' default privileges')
	FROM pg_class
	WHERE relnamespace = 'relpack'::regnamespace AND relkind = 'v'
	UNION ALL
	SELECT attrelid::regclass || '.' || attname || ' ' || format_type(atttypid, atttypmod) || ': '
	       || coalesce(col_description(attrelid, attnum), '') || coalesce(attacl::text, '')
	FROM pg_attribute
	JOIN pg_class ON pg_class.oid = attrelid
	WHERE relnamespace = 'relpack'::regnamespace AND relkind = 'v' AND attnum > 0
	UNION ALL
	SELECT 'trigger ' || pg_get_triggerdef(oid) || tgenabled::text || coalesce(obj_description(oid, 'pg_trigger'), '')
	FROM pg_trigger
	WHERE tgname LIKE 'relpack%'
	ORDER BY 1`

func TestTheMigrationsEndAtWhatTheDirectorySQLDefines(t *testing.T) {
	t.Parallel()
	target, migrated := packtest.NewBareStorage(t)
	packtest.MigrateUp(t, target)
	_, loaded := packtest.NewBareStorage(t)
	loadSQL(t, loaded)
	want, got := packtest.Lines(t, loaded, code), packtest.Lines(t, migrated, code)
	if len(want) < 40 {
		t.Fatalf("only %d definitions in sql/", len(want))
	}
	known := map[string]bool{}
	for _, definition := range got {
		known[definition] = true
	}
	for _, definition := range want {
		if !known[definition] {
			t.Errorf("not so after all migrations (go generate ./migrations):\n%s", definition)
		}
		delete(known, definition)
	}
	for definition := range known {
		t.Errorf("not in sql/:\n%s", definition)
	}
}

// loadSQL creates the tables by the migrations that are written by hand, and
// all else from sql/.
func loadSQL(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	packtest.Run(t, conn, "CREATE SCHEMA relpack; SET check_function_bodies = off")
	files, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text := read(t, migrations.Files, file)
		if up, _, _ := strings.Cut(text, "-- +goose Down"); !strings.HasPrefix(text, "-- A snapshot of server code") {
			packtest.Run(t, conn, up)
		}
	}
	if files, err = fs.Glob(sql.Files, "*.sql"); err != nil {
		t.Fatal(err)
	}
	for _, views := range []bool{false, true} { // a view needs its functions
		for _, file := range files {
			text := read(t, sql.Files, file)
			if strings.Contains(text, "CREATE OR REPLACE VIEW") == views {
				packtest.Run(t, conn, text)
			}
		}
	}
	packtest.Run(t, conn, "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA relpack FROM PUBLIC; SELECT relpack.create_triggers()")
}

func read(t *testing.T, files fs.FS, name string) string {
	t.Helper()
	text, err := fs.ReadFile(files, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
