package du_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/du"
	"relpack/runner/fault"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

func TestMain(m *testing.M) {
	os.Exit(program.Main(m, func(ctx context.Context, conn *pgx.Conn) error {
		return zodbtest.CreateStorage(ctx, conn, zodbtest.V42)
	}))
}

// A storage is a test's own.
type storage struct {
	target.Target
	conn *pgx.Conn
}

func newStorage(t *testing.T, objects map[int64][]byte) storage {
	t.Helper()
	db := pgtest.NewDatabase(t)
	s := storage{target.Target{DSN: db.DSN}, db.Connect(t)}
	s.commit(t, objects)
	program.Pack(t, s.DSN)
	return s
}

// newSample is the sample with its blob directory.
func newSample(t *testing.T) storage {
	t.Helper()
	db := pgtest.NewDatabase(t)
	s := storage{target.Target{DSN: db.DSN, BlobDir: t.TempDir()}, db.Connect(t)}
	if err := zodbtest.LoadSmall(t.Context(), s.conn, s.BlobDir); err != nil {
		t.Fatal(err)
	}
	program.Pack(t, s.DSN)
	return s
}

func (s storage) commit(t *testing.T, objects map[int64][]byte) int64 {
	t.Helper()
	tid, err := zodbtest.CommitNow(t.Context(), s.conn, objects)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

func (s storage) run(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := s.conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// measure lists everything, unless the options say less.
func (s storage) measure(t *testing.T, o du.Options) *du.Report {
	t.Helper()
	r, err := s.try(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s storage) try(t *testing.T, o du.Options) (*du.Report, error) {
	t.Helper()
	o.Migrations = migrations.Files
	if o.Depth == 0 {
		o.Depth = 1000
	}
	if o.Max == 0 {
		o.Max = 1_000_000
	}
	r, err := du.Storage(t.Context(), s.Target, o, slog.New(slog.DiscardHandler))
	if r.ExitCode != fault.ExitCode(err) {
		t.Errorf("exit code %d in the report of %v", r.ExitCode, err)
	}
	return r, err
}

// placed are the lines of a report, by zoid, and in which each is.
type placed struct {
	*du.Line
	in int64
}

func lines(r *du.Report) map[int64]placed {
	all := map[int64]placed{}
	var walk func(l *du.Line, in int64)
	walk = func(l *du.Line, in int64) {
		all[l.Zoid] = placed{l, in}
		for _, below := range l.Content {
			walk(below, l.Zoid)
		}
	}
	walk(r.Top, -1)
	return all
}

// expectIn wants each object in another.
func expectIn(t *testing.T, r *du.Report, want map[int64]int64) {
	t.Helper()
	all := lines(r)
	for zoid, in := range want {
		if l, found := all[zoid]; !found || l.in != in {
			t.Errorf("zoid %d is in %d, want %d", zoid, l.in, in)
		}
	}
}

// record is an object's with so many references, held one's of an object that names
// its holder.
func record(refs ...int64) []byte { return zodbtest.Record(zodbtest.Document, refs...) }

func held(holder int64, refs ...int64) []byte {
	return zodbtest.HeldRecord(zodbtest.Document, holder, refs...)
}

// A ref refers to an object in a pickle.
func ref(zoid int64) string {
	return "C\x08" + string(zodbtest.Oid(zoid)) + "cpersistent.mapping\nPersistentMapping\n\x86Q"
}

// btree is a node of package BTrees: its children, with keys in between, and the
// first bucket.
func btree(class string, children ...int64) []byte {
	items := ""
	for i, child := range children {
		if i > 0 {
			items += key(class, i)
		}
		items += ref(child)
	}
	return []byte(global(class) + "((" + items + "t" + ref(children[0]) + "t.")
}

// bucket has values, wrapped in an instance where wrap is set, and a next one unless
// that is 0.
func bucket(class string, wrap bool, next int64, values ...int64) []byte {
	items := ""
	for i, value := range values {
		items += key(class, i)
		if wrap {
			items += "cm\nKeyReference\n)\x81}X\x06\x00\x00\x00object" + ref(value) + "sb"
		} else {
			items += ref(value)
		}
	}
	state := "((" + items + "t"
	if next != 0 {
		state += ref(next)
	}
	return []byte(global(class) + state + "t.")
}

func global(class string) string {
	return "\x80\x03cBTrees." + class[:2] + "BTree\n" + class + "\n.\x80\x03"
}

func key(class string, i int) string {
	if strings.HasPrefix(class, "O") {
		return fmt.Sprintf("X\x02\x00\x00\x00k%d", i)
	}
	return "K" + string([]byte{byte(i)})
}

func (s storage) pack(t *testing.T) {
	t.Helper()
	program.Run(t, "pack", "--quiet", "--dry-run", "--dsn", s.DSN)
}
