package zconfig

import (
	"fmt"
	"strings"
	"testing"
)

func kinds(each func(func(Section) bool)) string {
	var all []string
	for s := range each {
		all = append(all, strings.TrimSpace(s.Kind+" "+s.Name))
	}
	return strings.Join(all, ", ")
}

func TestAStorageIsCalledInReferencesWhatItsDatabaseIs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"<zodb Main>\n<relstorage/>\n</zodb>":                                            "[main]",
		"<zodb_db Main>\n<relstorage Own/>\n</zodb_db>":                                  "[main own]",
		"<zodb main>\ndatabase-name Users\n<relstorage/>\n</zodb>":                       "[Users main]",
		"<zodb>\n<zlibstorage>\n<relstorage/>\n</zlibstorage>\ndatabase-name x\n</zodb>": "[x]",
		"<zodb>\n<relstorage/>\n</zodb>":                                                 "[]",
		"<relstorage a/>":                                                                "[a]",
	} {
		s := loadFile(t, write(t, text))[0]
		if got := fmt.Sprint(s.Names); got != want {
			t.Errorf("called %s, want %s, in\n%s", got, want, text)
		}
	}
	if s := loadFile(t, write(t, "<zodb>\n<relstorage/>\n</zodb>"))[0]; len(s.Names) != 1 || s.Names[0] != "" {
		t.Errorf("in a <zodb> of no name it is called %q", s.Names)
	}
	if s := loadFile(t, write(t, "<relstorage/>"))[0]; len(s.Names) != 0 {
		t.Errorf("a storage that the file doesn't name is called %q", s.Names)
	}
}

func TestWhatIsAroundAndBesideAStorageIsKnown(t *testing.T) {
	t.Parallel()
	file, err := Load(write(t, `<zodb main>
  <demostorage both>
    <relstorage base>
      <postgresql>
      </postgresql>
    </relstorage>
    <filestorage changes/>
  </demostorage>
</zodb>
<zodb plain>
  <relstorage/>
</zodb>
<zodb catalog>
  <zlibstorage>
    <filestorage/>
  </zlibstorage>
</zodb>
<filestorage source/>
<eventlog>
  <logfile/>
</eventlog>`))
	if err != nil {
		t.Fatal(err)
	}
	base, plain := file.Storages[0], file.Storages[1]
	if got := kinds(base.Around()); got != "demostorage both, zodb main" {
		t.Errorf("around the base: %s", got)
	}
	if got := kinds(base.Beside()); got != "filestorage changes" {
		t.Errorf("beside the base: %s", got)
	}
	if got := kinds(plain.Around()) + "; " + kinds(plain.Beside()); got != "zodb plain; " {
		t.Errorf("around and beside the plain one: %s", got)
	}
	var others []string
	for _, db := range file.Databases {
		others = append(others, fmt.Sprintf("%q %s %d", db.Names, db.Kind, db.Line))
	}
	if got := strings.Join(others, ", "); got != `["catalog"] filestorage 15, ["source"] filestorage 18` {
		t.Errorf("other databases: %s", got)
	}
}

func TestVariablesThatNoStorageNeedsMayBeMissing(t *testing.T) {
	const text = `%define instance $(RELPACK_TEST_HOME)
instancehome $instance
<product-config x>
  path $(RELPACK_TEST_OTHER)/y
</product-config>
<zodb main>
  mount-point $(RELPACK_TEST_MOUNT)
  <relstorage>
    cache-local-mb $(RELPACK_TEST_CACHE)
    blob-dir @
    <postgresql>
      dsn dbname=site
    </postgresql>
  </relstorage>
  <relstorage other>
    <mysql>
      db $(RELPACK_TEST_MYSQL)
    </mysql>
  </relstorage>
</zodb>`
	if s := loadFile(t, write(t, strings.Replace(text, "@", "/blobs", 1)))[0]; s.DSN != "dbname=site" {
		t.Errorf("dsn %q", s.DSN)
	}
	path := write(t, strings.NewReplacer("@", "$instance/$(RELPACK_TEST_BLOBS)", "dbname=site", "dbname=$(RELPACK_TEST_DB)").Replace(text))
	_, err := Load(path)
	want := path + ":10: environment variables are not set: RELPACK_TEST_HOME (line 10), RELPACK_TEST_BLOBS (line 10), RELPACK_TEST_DB (line 12)"
	if err == nil || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
	t.Setenv("RELPACK_TEST_HOME", "/srv")
	t.Setenv("RELPACK_TEST_BLOBS", "b")
	if _, err := Load(path); err == nil || err.Error() != path+":12: the environment variable RELPACK_TEST_DB is not set" {
		t.Errorf("error %v", err)
	}
	t.Setenv("RELPACK_TEST_DB", "d")
	if s := loadFile(t, path)[0]; s.BlobDir != "/srv/b" || s.DSN != "dbname=d" {
		t.Errorf("blob-dir %q, dsn %q", s.BlobDir, s.DSN)
	}
}

func TestNewtDBIsAnAdapterThatIsNotLookedInto(t *testing.T) {
	t.Parallel()
	s := loadFile(t, write(t, "<newtdb>\n<zodb>\n<relstorage>\n<newt>\n<postgresql>\ndsn x\n</postgresql>\n</newt>\n</relstorage>\n</zodb>\n</newtdb>"))[0]
	if s.Adapter != "newt" || s.DSN != "" {
		t.Errorf("adapter %q, dsn %q", s.Adapter, s.DSN)
	}
}
