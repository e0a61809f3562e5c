package status_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/status"
)

func TestStatusWorksInADatabaseThatRelpackHasNeverSeen(t *testing.T) {
	t.Parallel()
	bare, conn := packtest.NewBareStorage(t)
	before := packtest.Catalog(t, conn)
	packtest.ExpectWords(t, packtest.Status(t, bare), "history-free storage", "not installed", "relpack migrate up")
	if after := packtest.Catalog(t, conn); after != before {
		t.Errorf("it left\n%s", after)
	}
	empty, conn := packtest.NewEmptyDatabase(t)
	report, err := status.Look(t.Context(), empty, migrations.Files, packtest.Log(t))
	packtest.ExpectRefusal(t, err, "has no table object_state: it is not a RelStorage database. Name the right one")
	if !report.Empty() || report.ExitCode != fault.ExitRefused || report.Found != "no table object_state: not a RelStorage database" {
		t.Errorf("%+v", report)
	}
	packtest.Run(t, conn, "CREATE SCHEMA other; CREATE TABLE other.object_state (zoid bigint)")
	_, err = status.Look(t.Context(), empty, migrations.Files, packtest.Log(t))
	packtest.ExpectRefusal(t, err, "in schema other and none in public. RelStorage's tables have to be in public")
	packtest.Run(t, conn, "DROP SCHEMA other CASCADE")
	if err := zodbtest.CreateHistoryPreserving(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	packtest.ExpectWords(t, packtest.Status(t, empty), "history-preserving storage", "relpack migrate up")
}

func TestStatusOfAnotherVersionSaysWhatToRun(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Run(t, conn, "INSERT INTO relpack.goose_db_version (version_id, is_applied) VALUES (99999, true)")
	packtest.ExpectWords(t, packtest.Status(t, target), "schema version 99999", "this relpack is older")
	packtest.Run(t, conn, "DELETE FROM relpack.goose_db_version WHERE version_id > 1")
	packtest.ExpectWords(t, packtest.Status(t, target), "schema version 1", "relpack migrate up")
}

func TestStatusTellsWhatTheSchemaKnows(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Run(t, conn, `
		INSERT INTO object_state VALUES (0, 291941604408950732, 1, 'x');
		INSERT INTO relpack.object (zoid, tid, parent, class, size)
		VALUES (0, 291941604408950732, 0, 0, 1), (7, 291941604408950732, NULL, 1, 3000000);
		INSERT INTO relpack.object_inref (zoid, inref) VALUES (7, 0);
		INSERT INTO relpack.problem (zoid, blocks, kind, detail) VALUES (0, true, 'opaque', 'encrypted');
		INSERT INTO relpack.blob_removal (zoid, tid) VALUES (5, 5);
		CREATE TABLE object_inrefs AS SELECT i FROM generate_series(1, 10000) AS i;
		UPDATE relpack.storage
		SET graph = 'current', applied_tid = 291941604408950732, watermark = 291941604408950732,
		    relation = 'object_state'::regclass, filenode = pg_relation_filenode('object_state'),
		    trigger_identity = relpack.trigger_identity(), column_identity = relpack.column_identity(),
		    graph_identity = relpack.graph_identity(), objects = 1234567, inrefs = 1;
		INSERT INTO relpack.run (days, version, outcome, started, finished, deleted, deleted_bytes, revisions, revision_bytes, message)
		VALUES (1, 'v1', 'packed', now(), now() + interval '90 s', 744, 5000000, 388, 362000, NULL),
		       (1, 'v1', 'refused', now(), now(), 0, 0, 0, 0, 'what was refused before. The old remedy'),
		       (1, 'v1', 'failed', now(), now(), 0, 0, 0, 0, 'the disk is full. The remedy'),
		       (1, 'v1', 'running', now(), NULL, 0, 0, 0, 0, NULL)`)
	if text := packtest.Status(t, target); strings.Contains(text, "The old remedy") {
		t.Errorf("remedies of an earlier run: %s", text)
	}
	packtest.ExpectWords(t, packtest.Status(t, target),
		"describes the storage", "2026-11-22", "1,234,567, with 1 reference\n", "1 object, 2.9 MiB", "ZODB.blob",
		"problems", "zoid 0 (opaque): encrypted", "1 of them keeps relpack from deleting", "1 blob wait",
		"object_inrefs", "TRUNCATE", "1m30", "deleted 744 objects, 4.8 MiB, removed 388 old revisions, 354 KiB",
		"the disk is full. The remedy", "what was refused before\n", "could not be decoded, or has no state", "did not finish")
	packtest.Run(t, conn, "ALTER TABLE object_state DISABLE TRIGGER ALL")
	packtest.ExpectWords(t, packtest.Status(t, target), "not trusted: triggers of relpack are missing or disabled: relpack_", `Run "relpack migrate up"`)
	if report, err := status.Look(t.Context(), target, migrations.Files, packtest.Log(t)); err != nil || report.Packable {
		t.Errorf("packable: %t, %v", report.Packable, err)
	}
	packtest.Run(t, conn, "SELECT relpack.create_triggers()")
	packtest.ExpectWords(t, packtest.Status(t, target), "not trusted: ", "disabled or replaced for a while; the next pack compares it")
	packtest.Run(t, conn, "DELETE FROM object_state")
	packtest.ExpectWords(t, packtest.Status(t, target), "not trusted: the storage has no root object (zoid 0). Restore object 0")
	packtest.Run(t, conn, "SET application_name = 'relpack pack'; SELECT relpack.try_pack_lock()")
	packtest.ExpectWords(t, packtest.Status(t, target), "at work  ", fmt.Sprintf("pid %d", conn.PgConn().PID()), "running")
}

func TestStatusShowsEveryStateOfABuildAndWaitsForNoLock(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	for _, graph := range packtest.Lines(t, conn, `
		SELECT (regexp_matches(pg_get_constraintdef(oid), '''(\w+)''', 'g'))[1]
		FROM pg_constraint
		WHERE conname = 'storage_graph_check'`) {
		packtest.Run(t, conn, "UPDATE relpack.storage SET graph = $1", graph)
		text := packtest.Status(t, target)
		if words := regexp.MustCompile(`(?m)^ *graph +(.*)$`).FindStringSubmatch(text); words == nil || words[1] == graph {
			t.Errorf("no words for %s: %s", graph, text)
		}
		if graph == "doubtful" || graph == "current" { // with a reason
			packtest.ExpectWords(t, text, "not trusted: ")
		}
	}
	packtest.Run(t, conn, "UPDATE relpack.storage SET graph = 'finishing'")
	packtest.Run(t, conn, "BEGIN; LOCK TABLE relpack.object, relpack.object_inref")
	packtest.ExpectWords(t, packtest.Status(t, target), "being built", "a build step has the tables locked")
}

func TestStatusIsShownToARoleThatMayOnlyRead(t *testing.T) {
	t.Parallel()
	target, admin := packtest.NewStorage(t)
	role := packtest.NewRole(t, admin)
	report, err := status.Look(t.Context(), packtest.As(target, role), migrations.Files, packtest.Log(t))
	packtest.ExpectRefusal(t, err, "role "+role, "relpack.missing_privilege")
	_, query, _ := strings.Cut(report.Error, "Let its owner run in psql: ")
	query, gexec := strings.CutSuffix(query, ` \gexec`)
	if !gexec {
		t.Errorf("psql would not run what %s says", query)
	}
	for _, remedy := range packtest.Lines(t, admin, query) {
		packtest.Run(t, admin, remedy)
	}
	packtest.ExpectWords(t, packtest.Status(t, packtest.As(target, role, "default_transaction_read_only=on")), "not built", "schema version", "not counted yet")
	packtest.Run(t, admin, "REVOKE EXECUTE ON FUNCTION relpack.status FROM "+role)
	_, err = status.Look(t.Context(), packtest.As(target, role), migrations.Files, packtest.Log(t))
	packtest.ExpectRefusal(t, err, "permission denied for function status", "relpack.missing_privilege")
}
