package target_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/schema"
	"relpack/runner/target"
)

// targetsOf reads a configuration.
func targetsOf(t *testing.T, text string) []target.Target {
	t.Helper()
	file := filepath.Join(t.TempDir(), "site.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := target.Targets(file, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return targets
}

func TestWhatWrapsAStorageIsKnownOrRefusedByName(t *testing.T) {
	t.Parallel()
	const storage = "<relstorage>\n<postgresql>\n</postgresql>\n</relstorage>\n"
	for text, says := range map[string]string{
		"<zodb>\n@</zodb>":                                                                       "",
		"<zodb_db main>\n@</zodb_db>":                                                            "",
		"<zodb>\n<zlibstorage>\n@</zlibstorage>\n</zodb>":                                        "",
		"<zodb>\n<s3blobstorage>\n@</s3blobstorage>\n</zodb>":                                    "",
		"<eventlog>\n</eventlog>\n@<filestorage x>\n</filestorage>":                              "",
		"<zodb>\n<demostorage>\n<relstorage base>\n</relstorage>\n@</demostorage>\n</zodb>":      "site.conf:2: <demostorage> around the storage",
		"<zodb>\n<demostorage>\n@<filestorage changes>\n</filestorage>\n</demostorage>\n</zodb>": "<demostorage> around the storage",
		"<zodb>\n<encryptingstorage>\n@</encryptingstorage>\n</zodb>":                            "encrypted",
		"<zodb>\n<shinystorage>\n@</shinystorage>\n</zodb>":                                      "<shinystorage> around the storage: relpack doesn't know",
		"<shinystorage>\n@</shinystorage>":                                                       "<shinystorage> around the storage",
		"<zodb>\n@<shinystorage>\n</shinystorage>\n</zodb>":                                      "<shinystorage> beside the storage",
	} {
		targets := targetsOf(t, strings.Replace(text, "@", storage, 1))
		target := targets[len(targets)-1]
		if says == "" && target.Packable() == nil && target.Migratable() == nil {
			continue
		}
		if says == "" {
			t.Errorf("refused: %v\n%s", target.Packable(), text)
			continue
		}
		packtest.ExpectRefusal(t, target.Packable(), says)
		packtest.ExpectRefusal(t, target.Migratable(), says)
	}
}

func TestAFileWarnsOfWhatRelpackCannotTakeCareOf(t *testing.T) {
	t.Parallel()
	target := targetsOf(t, `<zodb main>
<s3blobstorage>
<relstorage>
<postgresql>
</postgresql>
</relstorage>
</s3blobstorage>
</zodb>
<zodb_db catalog>
<zeoclient>
</zeoclient>
</zodb_db>
<zodb_db temporary>
<temporarystorage>
</temporarystorage>
</zodb_db>
<zodb users>
<relstorage>
<mysql>
</mysql>
</relstorage>
</zodb>`)[0]
	text := strings.Join(target.Warnings, "\n")
	packtest.ExpectWords(t, text, "site.conf:2: <s3blobstorage>: the bucket keeps the blobs",
		"site.conf:10: the database catalog is in <zeoclient>", "site.conf:18: the database users is in <mysql>")
	if strings.Contains(text, "temporary") {
		t.Errorf("a database that lives as long as its process is named:\n%s", text)
	}
}

func TestAStorageOfNoNameIsCalledByItsDatabase(t *testing.T) {
	t.Parallel()
	anonymous := func(dsn string) string {
		return fmt.Sprintf("<relstorage>\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n", dsn)
	}
	var names []string
	for _, target := range targetsOf(t, anonymous("dbname='plone' host=a")+anonymous("postgresql:///site?host=b")+
		anonymous("dbname=twin host=a")+anonymous("dbname=twin host=b")+anonymous("nonsense")+
		"<relstorage>\n<mysql>\n</mysql>\n</relstorage>\n") {
		before, place, found := strings.Cut(target.Name, "/")
		if found {
			before += filepath.Base(place)
		}
		names = append(names, before)
	}
	const want = "plone, site, twin (site.conf:11), twin (site.conf:16), site.conf:21, site.conf:26"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("called %s, want %s", got, want)
	}
}

// The container image of Plone writes such a file.
func TestTheDatabaseDecidesWhetherAStorageKeepsHistory(t *testing.T) {
	t.Parallel()
	stored, conn := packtest.NewGarden(t)
	file := func(line string) target.Target {
		return targetsOf(t, fmt.Sprintf("<relstorage>\npack-gc true\n%s\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n", line, stored.DSN))[0]
	}
	_, err := pack.Run(t.Context(), file("keep-history true"), packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "site.conf:3: keep-history is true, but database", "holds a history-free storage")
	packtest.ExpectError(t, schema.Up(t.Context(), file("keep-history on"), migrations.Files, packtest.Log(t)), fault.ExitRefused, "keep-history is true")
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	packtest.Pack(t, file(""), packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)

	stored, conn = packtest.NewEmptyDatabase(t)
	if err := zodbtest.CreateHistoryPreserving(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	err = schema.Up(t.Context(), file("keep-history false"), migrations.Files, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "site.conf:3: keep-history is false, but database", "history-preserving")
	if err := schema.Up(t.Context(), file(""), migrations.Files, packtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	_, err = pack.Run(t.Context(), file(""), packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "the storage is empty")
}

func TestAStorageThatIsNotToBePackedCanBeReadForTheOthers(t *testing.T) {
	t.Parallel()
	kin, _ := packtest.NewKin(t, "users", "main")
	text := packtest.Section("users", kin[0].Target.DSN) +
		strings.Replace(packtest.Section("main", kin[1].Target.DSN), "<postgresql>", "pack-gc false\n<postgresql>", 1)
	if err := schema.Up(t.Context(), targetsOf(t, text)[1], migrations.Files, packtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	packtest.CommitRecords(t, kin[1].Conn, map[int64][]byte{1: packtest.ForeignRecord("users", 10)})
	failed, _ := packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectError(t, failed["users"], fault.ExitRefused, "main (1 reference)")
	packtest.ExpectError(t, failed["main"], fault.ExitRefused, "pack-gc is false")
	packtest.ExpectStored(t, kin[1].Conn, 0, 1, 10, 11)
	if n := packtest.Get[int](t, kin[1].Conn, "SELECT count(*) FROM relpack.run WHERE outcome = 'refused'"); n != 1 {
		t.Errorf("%d refused runs", n)
	}
}

func TestABlobDirectoryThatMayBeACacheIsNamedBeforeThePack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for keys, noted := range map[string]bool{"": true, "shared-blob-dir true\n": false, "shared-blob-dir false\n": false} {
		target := targetsOf(t, "<relstorage>\nblob-dir "+dir+"\n"+keys+"<postgresql>\n</postgresql>\n</relstorage>\n")[0]
		notes := strings.Join(target.Warnings, "\n")
		if strings.Contains(notes, `"shared-blob-dir true" is missing`) != noted {
			t.Errorf("%q: %s", keys, notes)
		}
	}
}

// A line that two sections include stands at one place.
func TestABlobDirThatTwoSectionsIncludeHasTwoUsers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	common := filepath.Join(dir, "common.conf")
	if err := os.WriteFile(common, []byte("shared-blob-dir true\nblob-dir "+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	section := "<relstorage>\n%include " + common + "\n<postgresql>\n</postgresql>\n</relstorage>\n"
	for _, target := range targetsOf(t, section+section) {
		if users := target.BlobDirUsers(); len(users) != 1 || users[0] != common+":2" {
			t.Errorf("%v", users)
		}
	}
	if users := targetsOf(t, section)[0].BlobDirUsers(); len(users) != 0 {
		t.Errorf("one section: %v", users)
	}
}
