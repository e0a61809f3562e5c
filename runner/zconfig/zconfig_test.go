package zconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write puts a configuration into a file of the test's own.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pack.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func loadFile(t *testing.T, path string) []Storage {
	t.Helper()
	file, err := Load(path)
	if err != nil {
		t.Fatalf("Load(%s): %v", path, err)
	}
	return file.Storages
}

// plain drops what == can't compare.
type plain struct {
	Name, File                                   string
	Line                                         int
	Adapter, DSN, Driver                         string
	KeepHistory                                  bool
	BlobDir                                      string
	SharedBlobDir                                bool
	CommitLockTimeout, PackBatchTimeout          time.Duration
	PackGC, PackPrepackOnly, PackSkipPrepack, RO bool
	ReplicaConf, ROReplicaConf                   string
}

func plainOf(s Storage) plain {
	return plain{s.Name, s.File, s.Line, s.Adapter, s.DSN, s.Driver, s.KeepHistory, s.BlobDir, s.SharedBlobDir,
		s.CommitLockTimeout, s.PackBatchTimeout, s.PackGC, s.PackPrepackOnly, s.PackSkipPrepack, s.ReadOnly,
		s.ReplicaConf, s.ROReplicaConf}
}

func wantStorages(t *testing.T, got []Storage, want ...plain) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d storages, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if p := plainOf(got[i]); p != want[i] {
			t.Errorf("storage %d:\n got %+v\nwant %+v", i, p, want[i])
		}
	}
}

func TestAPackConfigurationOfAPloneSiteIsReadWhole(t *testing.T) {
	t.Parallel()
	got := loadFile(t, "testdata/plone.conf")
	wantStorages(t, got, plain{
		Name: "main", File: "testdata/plone.conf", Line: 7, Adapter: "postgresql", Driver: "psycopg2",
		DSN:     "dbname='plone' host='127.0.0.1' user='zodb' password='pa$word' # not a comment",
		BlobDir: "var/blobstorage", SharedBlobDir: true,
		CommitLockTimeout: 10 * time.Minute, PackBatchTimeout: 2500 * time.Millisecond, PackGC: true,
	})
	for key, line := range map[string]int{"keep-history": 8, "dsn": 19, "pack-gc": 0} {
		if n := got[0].LineOf(key); n != line {
			t.Errorf("LineOf(%s) = %d, want %d", key, n, line)
		}
	}
}

func TestStoragesAreFoundInAWholeZopeConf(t *testing.T) {
	t.Parallel()
	wantStorages(t, loadFile(t, "testdata/zope.conf"), plain{
		Name: "main", File: "testdata/zope.conf", Line: 20, Adapter: "postgresql", Driver: "auto",
		BlobDir: "/srv/plone/parts/client1/blobs", PackGC: true,
		CommitLockTimeout: 30 * time.Second, PackBatchTimeout: 15 * time.Second,
	}, plain{
		Name: "catalog", File: "testdata/zope.conf", Line: 31, Adapter: "mysql", Driver: "auto", KeepHistory: true,
		CommitLockTimeout: 30 * time.Second, PackBatchTimeout: 15 * time.Second,
	})
}

func TestIncludedFilesShareDefinitionsAndTheOpenSection(t *testing.T) {
	t.Parallel()
	got := loadFile(t, "testdata/include/site.conf")
	wantStorages(t, got, plain{
		Name: "site", File: "testdata/include/site.conf", Line: 2, Adapter: "postgresql", DSN: "dbname=site_db", Driver: "auto",
		SharedBlobDir: true, PackGC: true, CommitLockTimeout: 30 * time.Second, PackBatchTimeout: 15 * time.Second,
	})
	if file, line := got[0].Where("dsn"); file != "testdata/include/shared/storage.conf" || line != 4 {
		t.Errorf("Where(dsn) = %s:%d", file, line)
	}
	if file, line := got[0].Where("read-only"); file != "testdata/include/site.conf" || line != 2 {
		t.Errorf("Where(read-only) = %s:%d, want the section's start", file, line)
	}
}

func TestAStorageTakesTheNearestName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"<relstorage Own>\nname key\n</relstorage>":                           "own",
		"<zodb Outer>\n<relstorage>\nname Key\n</relstorage>\n</zodb>":        "Key",
		"<zodb outer>\n<blobstorage>\n<relstorage/>\n</blobstorage>\n</zodb>": "outer",
		"<zodb a/>\n<zodb>\n<relstorage/>\n</zodb>":                           "",
	} {
		if got := loadFile(t, write(t, text))[0].Name; got != want {
			t.Errorf("name %q, want %q, in\n%s", got, want, text)
		}
	}
}

func TestAStorageWithoutKeysHasRelStoragesDefaults(t *testing.T) {
	t.Parallel()
	path := write(t, "\ufeff<relstorage/>\r\n\r\n")
	wantStorages(t, loadFile(t, path), plain{
		File: path, Line: 1, Driver: "auto", KeepHistory: true, PackGC: true,
		CommitLockTimeout: 30 * time.Second, PackBatchTimeout: 15 * time.Second,
	})
}

func TestEveryKeyThatMattersIsStored(t *testing.T) {
	t.Parallel()
	path := write(t, strings.Join([]string{"<relstorage>", "PACK-GC Off", "pack-prepack-only YES", "pack-skip-prepack true",
		"read-only on", "keep-history no", "replica-conf a.conf", "ro-replica-conf b.conf", "commit-lock-timeout 0",
		"pack-batch-timeout 1e-1", "revert_when_stale maybe", "cache-local-dir-compress whatever",
		"<oracle>", "user u", "password p", "dsn ORCL", "</oracle>", "</relstorage>"}, "\n"))
	wantStorages(t, loadFile(t, path), plain{
		File: path, Line: 1, Adapter: "oracle", Driver: "auto", PackPrepackOnly: true, PackSkipPrepack: true, RO: true,
		ReplicaConf: "a.conf", ROReplicaConf: "b.conf", PackBatchTimeout: 100 * time.Millisecond,
	})
}

func TestEnvironmentVariablesAreSubstituted(t *testing.T) {
	t.Setenv("RELPACK_TEST_Blobs", "/srv/$blobs")
	got := loadFile(t, write(t, "<relstorage>\nblob-dir $(RELPACK_TEST_Blobs)/x$$y\n</relstorage>"))
	if got[0].BlobDir != "/srv/$blobs/x$y" {
		t.Errorf("blob-dir %q", got[0].BlobDir)
	}
}

func TestANameMayBeDefinedTwiceWithOneValue(t *testing.T) {
	t.Parallel()
	got := loadFile(t, write(t, "%define a b\n%define A b\n%define empty\n<relstorage>\n<postgresql>\ndsn ${A}$empty-$a.\n</postgresql>\n</relstorage>"))
	if got[0].DSN != "b-b." {
		t.Errorf("dsn %q", got[0].DSN)
	}
}
