package runner

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"relpack/migrations"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/status"
	"relpack/runner/target"
)

// statusText is what "relpack status" prints.
func statusText(t *testing.T, target target.Target) string {
	t.Helper()
	report, err := status.Look(t.Context(), target, migrations.Files, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(report); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := report.Write(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func expectWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("no %q in\n%s", word, text)
		}
	}
}

func TestStatusWorksInADatabaseThatRelpackHasNeverSeen(t *testing.T) {
	t.Parallel()
	bare, conn := newBareStorage(t)
	before := catalog(t, conn)
	expectWords(t, statusText(t, bare), "history-free storage", "not installed", "relpack migrate up")
	if after := catalog(t, conn); after != before {
		t.Errorf("it left\n%s", after)
	}
	empty, conn := newEmptyDatabase(t)
	expectWords(t, statusText(t, empty), "not a RelStorage database", "not installed")
	if err := zodbtest.CreateHistoryPreserving(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	expectWords(t, statusText(t, empty), "history-preserving storage", "zodbpack")
}

func TestStatusOfAnotherVersionSaysWhatToRun(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	run(t, conn, "INSERT INTO relpack.goose_db_version (version_id, is_applied) VALUES (99999, true)")
	expectWords(t, statusText(t, target), "schema version 99999", "this relpack is older")
	run(t, conn, "DELETE FROM relpack.goose_db_version WHERE version_id > 1")
	expectWords(t, statusText(t, target), "schema version 1", "relpack migrate up")
}

func TestStatusTellsWhatTheSchemaKnows(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	run(t, conn, `
		INSERT INTO object_state VALUES (0, 291941604408950732, 1, 'x');
		INSERT INTO relpack.object (zoid, tid, parent, class, size)
		VALUES (0, 291941604408950732, 0, 0, 1), (7, 291941604408950732, NULL, 1, 3000000);
		INSERT INTO relpack.problem (zoid, blocks, kind, detail) VALUES (0, true, 'opaque', 'encrypted');
		INSERT INTO relpack.blob_removal (zoid, tid) VALUES (5, 5);
		CREATE TABLE object_inrefs AS SELECT i FROM generate_series(1, 10000) AS i;
		UPDATE relpack.storage
		SET graph = 'current', applied_tid = 291941604408950732, watermark = 291941604408950732,
		    relation = 'object_state'::regclass, filenode = pg_relation_filenode('object_state'),
		    trigger_identity = relpack.trigger_identity(), column_identity = relpack.column_identity(),
		    graph_identity = relpack.graph_identity(), objects = 1234567;
		INSERT INTO relpack.run (days, version, outcome, started, finished, deleted, deleted_bytes, message)
		VALUES (1, 'v1', 'packed', now(), now() + interval '90 s', 744, 5000000, NULL),
		       (1, 'v1', 'failed', now(), now(), 0, 0, 'the disk is full'),
		       (1, 'v1', 'running', now(), NULL, 0, 0, NULL)`)
	expectWords(t, statusText(t, target),
		"describes the storage", "2026-11-22", "1,234,567", "1 object, 2.9 MiB", "ZODB.blob",
		"problems", "zoid 0 (opaque): encrypted", "1 of them keeps relpack from deleting", "1 blob wait",
		"object_inrefs", "TRUNCATE", "1m30", "deleted 744 objects, 4.8 MiB", "the disk is full", "did not finish")
	run(t, conn, "ALTER TABLE object_state DISABLE TRIGGER ALL")
	expectWords(t, statusText(t, target), "not trusted: triggers of relpack are missing or disabled: relpack_", `Run "relpack migrate up"`)
	if report, err := status.Look(t.Context(), target, migrations.Files, testLog(t)); err != nil || report.Packable {
		t.Errorf("packable: %t, %v", report.Packable, err)
	}
	run(t, conn, "SELECT relpack.create_triggers()")
	expectWords(t, statusText(t, target), "not trusted: ", "disabled or replaced for a while; the next pack compares it")
	run(t, conn, "DELETE FROM object_state")
	expectWords(t, statusText(t, target), "not trusted: the storage has no root object (zoid 0). Restore object 0")
	run(t, conn, "SET application_name = 'relpack pack'; SELECT relpack.try_pack_lock()")
	expectWords(t, statusText(t, target), "at work  ", fmt.Sprintf("pid %d", conn.PgConn().PID()), "running")
}

func TestStatusShowsEveryStateOfABuildAndWaitsForNoLock(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	for _, graph := range lines(t, conn, `
		SELECT (regexp_matches(pg_get_constraintdef(oid), '''(\w+)''', 'g'))[1]
		FROM pg_constraint
		WHERE conname = 'storage_graph_check'`) {
		run(t, conn, "UPDATE relpack.storage SET graph = $1", graph)
		text := statusText(t, target)
		if words := regexp.MustCompile(`(?m)^ *graph +(.*)$`).FindStringSubmatch(text); words == nil || words[1] == graph {
			t.Errorf("no words for %s: %s", graph, text)
		}
		if graph == "doubtful" || graph == "current" { // with a reason
			expectWords(t, text, "not trusted: ")
		}
	}
	run(t, conn, "UPDATE relpack.storage SET graph = 'finishing'")
	run(t, conn, "BEGIN; LOCK TABLE relpack.object, relpack.object_inref")
	expectWords(t, statusText(t, target), "being built", "a build step has the tables locked")
}

func TestStatusIsShownToARoleThatMayOnlyRead(t *testing.T) {
	t.Parallel()
	target, admin := newStorage(t)
	role := newRole(t, admin)
	report, err := status.Look(t.Context(), as(target, role), migrations.Files, testLog(t))
	expectRefusal(t, err, "role "+role, "relpack.missing_privilege")
	_, query, _ := strings.Cut(report.Error, "Let its owner run in psql: ")
	query, gexec := strings.CutSuffix(query, ` \gexec`)
	if !gexec {
		t.Errorf("psql would not run what %s says", query)
	}
	for _, remedy := range lines(t, admin, query) {
		run(t, admin, remedy)
	}
	expectWords(t, statusText(t, as(target, role, "default_transaction_read_only=on")), "not built", "schema version")
	run(t, admin, "REVOKE EXECUTE ON FUNCTION relpack.status FROM "+role)
	_, err = status.Look(t.Context(), as(target, role), migrations.Files, testLog(t))
	expectRefusal(t, err, "permission denied for function status", "relpack.missing_privilege")
}
