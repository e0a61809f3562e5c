package packtest

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// Garden is a root with an attached pair, and old garbage in three levels.
var Garden = Links{0: {1}, 1: {2}, 2: nil, 10: {11}, 11: {12, 13}, 12: {10}, 13: nil}

// NewGarden is a storage in which all that is known.
func NewGarden(t *testing.T) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := NewStorage(t)
	CommitAt(t, conn, 48*time.Hour, Garden)
	DryRun(t, target)
	ExpectExact(t, conn)
	Run(t, conn, Impatient)
	return target, conn
}

// NewTown is a storage of some 12,000 objects, a good part of them garbage in
// trees, chains and cycles.
func NewTown(t *testing.T) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := NewStorage(t)
	random := rand.New(rand.NewPCG(3, 4))
	l := Links{0: nil}
	for zoid := int64(1); zoid < 12_000; zoid++ {
		quarter := zoid / 1000 * 1000
		up := quarter + random.Int64N(zoid-quarter+1)
		if zoid == quarter {
			if quarter%3000 != 1000 {
				l[0] = append(l[0], zoid)
			}
			continue
		}
		// Mostly down its own quarter, and back; live quarters refer to dead ones never.
		l[up] = append(l[up], zoid)
		l[zoid] = append(l[zoid], up)
		if quarter%3000 == 1000 {
			l[zoid] = append(l[zoid], random.Int64N(zoid))
		}
	}
	Load(t, conn, l)
	Commit(t, conn, Links{0: l[0]})
	// Ranges so small that there are many.
	definition := Get[string](t, conn, "SELECT pg_get_functiondef('relpack.build_begin(integer)'::regprocedure)")
	Run(t, conn, strings.Replace(definition, "DEFAULT 2048", "DEFAULT 16", 1))
	return target, conn
}

// NewOrchard is a storage of many blocks that relpack has not read yet: 0 to
// 79 hang below each other, four objects a block, the last object on an end.
// 200 and up are garbage.
func NewOrchard(t *testing.T) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := NewStorage(t)
	Run(t, conn, "ALTER TABLE object_state ALTER state SET STORAGE EXTERNAL") // not compressed
	records := map[int64][]byte{}
	for zoid := range int64(80) {
		records[zoid] = OrchardRecord(zoid + 1)
		records[200+zoid] = OrchardRecord(200 + (zoid+1)%80)
	}
	for zoid := range int64(40) {
		records[100+zoid] = OrchardRecord() // to leave holes
	}
	records[79] = OrchardRecord()
	if err := zodbtest.Commit(t.Context(), conn, zodbtest.TimeTid(time.Now().Add(-time.Hour)), records); err != nil {
		t.Fatal(err)
	}
	Run(t, conn, "DELETE FROM object_state WHERE zoid BETWEEN 100 AND 139")
	Run(t, conn, "VACUUM object_state")
	return target, conn
}

// OrchardRecord is a record as large as an orchard's.
func OrchardRecord(refs ...int64) []byte {
	return zodbtest.PaddedRecord(zodbtest.Document, 1700, refs...)
}
