package conninfo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file writes a file of the test's own.
func file(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnEmptyStringTakesEverythingFromTheEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"PGHOST": "db.example.org", "PGHOSTADDR": "10.0.0.9", "PGPORT": "6000", "PGUSER": "u", "PGDATABASE": "d", "PGPASSWORD": "p",
		"PGSSLMODE": "require", "PGAPPNAME": "cron", "PGSSLMINPROTOCOLVERSION": "TLSv1.3", "PGTZ": "UTC", "PGCONNECT_TIMEOUT": "-1",
		"PGCLIENTENCODING": "LATIN1", "PGGSSENCMODE": "disable",
	} {
		t.Setenv(name, value)
	}
	config, _ := parse(t, "")
	if got := summary(config); got != "tls 10.0.0.9:6000" {
		t.Errorf("tries %s", got)
	}
	if config.User != "u" || config.Database != "d" || config.Password != "p" || config.TLSConfig.ServerName != "db.example.org" {
		t.Errorf("user %q, database %q, password %q, TLS name %q", config.User, config.Database, config.Password, config.TLSConfig.ServerName)
	}
	if p := config.RuntimeParams; p["application_name"] != "cron" || p["timezone"] != "UTC" || p["client_encoding"] != "UTF8" || len(p) != 3 {
		t.Errorf("runtime parameters %v", p)
	}
	if config, _ := parse(t, "host=other hostaddr='' password='' sslmode=disable"); summary(config) != "other:6000" || config.Password != "" {
		t.Errorf("tries %s with password %q: the string does not win", summary(config), config.Password)
	}
}

func TestProtectionAskedForByTheEnvironmentIsNotForgotten(t *testing.T) {
	for name, value := range map[string]string{
		"PGGSSENCMODE": "require", "PGREQUIREPEER": "postgres", "PGSSLCRL": "/x", "PGSSLCRLDIR": "/x", "PGSSLMAXPROTOCOLVERSION": "TLSv1.1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			if _, _, err := Parse("host=h"); err == nil || !strings.Contains(err.Error(), "(from "+name+")") {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Setenv("PGREQUIREAUTH", "scram-sha-256")
	t.Setenv("PGCHANNELBINDING", "require")
	if config, _ := parse(t, "host=h"); config.RequireAuth != "scram-sha-256" || config.ChannelBinding != "require" {
		t.Errorf("require_auth %q, channel_binding %q", config.RequireAuth, config.ChannelBinding)
	}
}

func TestAServiceStandsBetweenStringAndEnvironment(t *testing.T) {
	services := file(t, "pg_service.conf", "# ours\n[other]\nhost=wrong\nnonsense=1\n\n[plone]\nhost=db\nport = 6001\nkeepalives_idle=30\npassword=geheim\nsslmode=disable\n", 0o600)
	t.Setenv("PGSERVICEFILE", services)
	t.Setenv("PGPORT", "7000")
	for _, dsn := range []string{"service=plone user=u", "postgres://u@?service=plone"} {
		config, _ := parse(t, dsn)
		if summary(config) != "db:6001" || config.Password != "geheim" || len(config.RuntimeParams) != 1 {
			t.Errorf("%s: tries %s, password %q, parameters %v", dsn, summary(config), config.Password, config.RuntimeParams)
		}
	}
	t.Setenv("PGSERVICE", "plone")
	if config, _ := parse(t, "host=mine user=u"); summary(config) != "mine:6001" {
		t.Errorf("tries %s", summary(config))
	}
	if _, _, err := Parse("service=other"); err == nil || !strings.Contains(err.Error(), services+`:4: invalid connection option "nonsense"`) {
		t.Errorf("error %v", err)
	}
	t.Setenv("PGSYSCONFDIR", filepath.Dir(services))
	t.Setenv("PGSERVICEFILE", "/nonexistent")
	if config, _ := parse(t, "user=u"); summary(config) != "db:6001" {
		t.Errorf("tries %s: the system's service file was not read", summary(config))
	}
}

func TestAServiceCannotLoosenTheRules(t *testing.T) {
	services := file(t, "s", "[a]\ngssencmode=require\n[b]\nservice=a\n[c]\nldap://x\n[d]\nhost\n[e]\nhost=a\n[e]\nhost=b\n", 0o600)
	for service, want := range map[string]string{
		"a": "gssencmode=require (from " + services + ") is refused", "b": ":4: a service can't refer to another one",
		"c": "LDAP", "d": ":8: not a line of the form keyword=value", "e": ":11: the service is defined a second time",
	} {
		if _, _, err := Parse("servicefile=" + services + " service=" + service); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("service %s: error %v lacks %q", service, err, want)
		}
	}
}

func TestThePasswordFileIsRead(t *testing.T) {
	t.Parallel()
	path := file(t, "pgpass", "db:5432:plone:u:one\nlocalhost:*:u:u:two\n/srv/sock:*:*:*:three\n10.0.0.1:*:*:*:four\nb:*:*:*:five\n", 0o600)
	for dsn, want := range map[string]string{
		"host=db dbname=plone user=u":                   "one",
		"host=db hostaddr=10.0.0.1 dbname=plone user=u": "one",
		"host=/tmp user=u":                              "two",
		"host=/srv/sock user=x":                         "three",
		"hostaddr=10.0.0.1 user=x":                      "four",
		"host=db dbname=plone user=u password=mine":     "mine",
		"host=db dbname=other user=u":                   "",
	} {
		config, notes := parse(t, dsn+" passfile="+path)
		if config.Password != want || len(notes) > 0 {
			t.Errorf("%s: password %q, want %q; notes %q", dsn, config.Password, want, notes)
		}
	}
	if config, notes := parse(t, "host=db,b dbname=plone user=u passfile="+path); config.Password != "one" || len(notes) != 1 {
		t.Errorf("two hosts: password %q, notes %q", config.Password, notes)
	}
}

func TestAPasswordFileThatOthersMayReadIsIgnoredWithANote(t *testing.T) {
	t.Parallel()
	path := file(t, "pgpass", "*:*:*:*:geheim\n", 0o644)
	config, notes := parse(t, "host=db user=u passfile="+path)
	if config.Password != "" || len(notes) != 1 || !strings.Contains(notes[0], path) {
		t.Errorf("password %q, notes %q", config.Password, notes)
	}
}
