package check_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"relpack/runner/check"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// expectRefused wants a check to say what a pack says, and a pack to say it.
func expectRefused(t *testing.T, name string, r *check.Report, file, says string) {
	t.Helper()
	if r.Outcome != "refused" || r.ExitCode != fault.ExitRefused || !strings.Contains(r.Error, "every pack is refused: ") || !strings.Contains(r.Error, says) {
		t.Errorf("%s: %s: %s, want %s", name, r.Outcome, r.Error, says)
	}
	if p := program.Run(t, "pack", "--quiet", "--dry-run", file); p.Code != fault.ExitRefused || !strings.Contains(p.Stderr, says) {
		t.Errorf("%s: %+v, want %s", name, p, says)
	}
}

// newFile writes a configuration file. Each storage has objects and a graph.
func newFile(t *testing.T, sections func(dsn []string) string) (file string, checked map[string]storage) {
	t.Helper()
	one, two := newStorage(t, garden()), newStorage(t, garden())
	file = filepath.Join(t.TempDir(), "site.conf")
	if err := os.WriteFile(file, []byte(sections([]string{one.DSN, two.DSN})), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := target.Targets(file, "", "")
	if err != nil {
		t.Fatal(err)
	}
	checked = map[string]storage{}
	for _, t := range targets {
		checked[t.Name] = storage{t, one.conn}
	}
	return file, checked
}

// withLine has one more line in a section of a storage.
func withLine(section, line string) string {
	return strings.Replace(section, "<relstorage>\n", "<relstorage>\n"+line+"\n", 1)
}

func TestAStorageThatItsFileKeepsFromBeingPackedIsToldByTheLine(t *testing.T) {
	t.Parallel()
	for line, says := range map[string]string{
		"read-only true": "site.conf:3: the storage is read-only",
		"pack-gc false":  "site.conf:3: pack-gc is false",
	} {
		file, checked := newFile(t, func(dsn []string) string {
			return withLine(packtest.Section("one", dsn[0]), line)
		})
		expectRefused(t, line, checked["one"].check(t, fault.ExitRefused), file, says)
	}
}

func TestStoragesThatShareABlobDirectoryAreToldAsAPackTellsIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := zodbtest.NewBlobDir(dir, zodbtest.Bushy); err != nil {
		t.Fatal(err)
	}
	sharing := func(name, dsn string) string {
		return withLine(packtest.Section(name, dsn), "shared-blob-dir true\nblob-dir "+dir)
	}
	file, checked := newFile(t, func(dsn []string) string { return sharing("one", dsn[0]) + sharing("two", dsn[1]) })
	for name, other := range map[string]string{"one": "two", "two": "one"} {
		expectRefused(t, name, checked[name].check(t, fault.ExitRefused), file, "blob directory "+dir+": "+other+" uses it, too")
	}
	// It is the same database twice, of which a pack says something else.
	_, checked = newFile(t, func(dsn []string) string { return sharing("one", dsn[0]) + sharing("two", dsn[0]) })
	checked["one"].check(t, fault.ExitDone)
	// Nobody can be asked which database it is.
	_, checked = newFile(t, func(dsn []string) string { return sharing("one", dsn[0]) + sharing("two", "host=/none/such") })
	packtest.ExpectWords(t, checked["one"].check(t, fault.ExitRefused).Error, "blob directory "+dir+": two uses it, too. Give each")
}

func TestAHistoryWhoseKeysAreOffIsToldAsAPackTellsIt(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, true)
	s := storage{a.Target, a.Conn}
	s.tryPack(t)
	s.check(t, fault.ExitDone)
	packtest.Run(t, a.Conn, "ALTER TABLE current_object DROP CONSTRAINT current_object_pkey")
	const says = "keys of RelStorage are missing or switched off: current_object zoid"
	if r := s.check(t, fault.ExitRefused); r.Outcome != "refused" || !strings.Contains(r.Error, "every pack is refused: "+says) {
		t.Errorf("%s: %s", r.Outcome, r.Error)
	}
	if p := program.Run(t, "pack", "--quiet", "--dry-run", "--dsn", s.DSN); p.Code != fault.ExitRefused || !strings.Contains(p.Stderr, says) {
		t.Errorf("%+v", p)
	}
}
