package conninfo

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestMain hides the developer's own settings: libpq's variables and files.
func TestMain(m *testing.M) {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "PG") {
			os.Unsetenv(name)
		}
	}
	home, err := os.MkdirTemp("", "conninfo")
	if err != nil {
		panic(err)
	}
	os.Setenv("HOME", home)
	os.Setenv("PGSYSCONFDIR", home)
	code := m.Run()
	os.RemoveAll(home)
	os.Exit(code)
}

func parse(t *testing.T, dsn string) (*pgx.ConnConfig, []string) {
	t.Helper()
	config, notes, err := Parse(dsn)
	if err != nil {
		t.Fatalf("Parse(%s): %v", dsn, err)
	}
	return config, notes
}

// summary shows the attempts of a configuration: "tls host:port" or "host:port".
func summary(config *pgx.ConnConfig) string {
	var all []string
	for _, a := range attempts(config) {
		text := fmt.Sprintf("%s:%d", a.Host, a.Port)
		if a.TLSConfig != nil {
			text = "tls " + text
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func TestConnectionStringsOfRealSitesAreUnderstood(t *testing.T) {
	t.Parallel()
	tests := []struct{ dsn, attempts, database, user, password string }{
		{"dbname='plone' user='zodb' host='127.0.0.1' password='pa ss'", "tls 127.0.0.1:5432, 127.0.0.1:5432", "plone", "zodb", "pa ss"},
		{`dbname = plone user = zodb host = db password = pa\ ss\'\\`, "tls db:5432, db:5432", "plone", "zodb", `pa ss'\`},
		{"host=db.example.org port=5433 dbname=Data user=plone password=x sslmode=require connect_timeout=10 " +
			"keepalives=1 keepalives_idle=30 keepalives_interval=10 keepalives_count=5 tcp_user_timeout=9000 " +
			"fallback_application_name=plone gssencmode=disable client_encoding=LATIN1",
			"tls db.example.org:5433", "Data", "plone", "x"},
		{"host=/var/run/postgresql dbname=plone user=plone", "/var/run/postgresql:5432", "plone", "plone", ""},
		{"postgresql://plone:p%40ss@db:6432/site?sslmode=disable&keepalives_idle=60&application_name=x", "db:6432", "site", "plone", "p@ss"},
		{"postgres://plone@/site?host=/run/pg", "/run/pg:5432", "site", "plone", ""},
		{"postgresql://plone@%2Frun%2Fpg/site", "/run/pg:5432", "site", "plone", ""},
		{"postgres://u@[::1]:5433,b/d?sslmode=disable", "::1:5433, b:5432", "d", "u", ""},
		{"host=a,b port=1,2 user=u sslmode=disable", "a:1, b:2", "u", "u", ""},
		{"host=a,b port=7 user=u sslmode=allow", "a:7, tls a:7, b:7, tls b:7", "u", "u", ""},
		{"postgresql://u@a/d?ssl=true", "tls a:5432", "d", "u", ""},
		{"  host=a host=b user=u\tsslmode=disable\n", "b:5432", "u", "u", ""},
		{"host=a user=u port='' password='' dbname='' sslmode=disable hostaddr=''", "a:5432", "u", "u", ""},
	}
	for _, test := range tests {
		t.Run(test.dsn, func(t *testing.T) {
			t.Parallel()
			config, notes := parse(t, test.dsn)
			if got := summary(config); got != test.attempts {
				t.Errorf("tries %s, want %s", got, test.attempts)
			}
			if config.Database != test.database || config.User != test.user || config.Password != test.password {
				t.Errorf("database %q, user %q, password %q", config.Database, config.User, config.Password)
			}
			if len(notes) > 0 {
				t.Errorf("notes %q", notes)
			}
			if test.password != "" && strings.Contains(config.ConnString(), test.password) && len(test.password) > 1 {
				t.Errorf("ConnString holds the password: %s", config.ConnString())
			}
		})
	}
}

func TestEveryKeywordOfLibpqCanStandInAConnectionString(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"connect_timeout": "3", "port": "5432", "hostaddr": "10.0.0.1", "sslmode": "disable", "gssencmode": "prefer",
		"channel_binding": "prefer", "require_auth": "scram-sha-256", "sslcertmode": "allow", "sslnegotiation": "postgres",
		"sslsni": "0", "target_session_attrs": "read-write", "min_protocol_version": "3.0", "max_protocol_version": "3.2",
		"ssl_min_protocol_version": "TLSv1.2", "ssl_max_protocol_version": "tlsv1.3", "load_balance_hosts": "disable",
		"replication": "false", "sslrootcert": "", "service": "plone", "sslcert": "c", "sslkey": "k",
	}
	service := filepath.Join(t.TempDir(), "pg_service.conf")
	if err := os.WriteFile(service, []byte("[plone]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	values["servicefile"] = service
	for name, k := range keywords {
		value, ok := values[name]
		if !ok {
			value = "v"
		}
		dsn := fmt.Sprintf("%s='%s'", name, value)
		if name != "sslmode" {
			dsn += " sslmode=disable"
		}
		if name == "service" {
			dsn += " servicefile=" + service
		}
		config, _, err := Parse(dsn)
		if k.treatment == refused {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: error %v, want a refusal by name", dsn, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		want := []string{"client_encoding"}
		if name == "application_name" || name == "options" {
			want = append(want, name)
		}
		for param := range config.RuntimeParams {
			if !slices.Contains(want, param) {
				t.Errorf("%s is sent to the server because of %s", param, dsn)
			}
		}
	}
}

func TestSettingsThatPgxKnowsReachIt(t *testing.T) {
	t.Parallel()
	config, _ := parse(t, "host=db user=u sslmode=require channel_binding=require require_auth=scram-sha-256 sslcertmode=disable "+
		"sslnegotiation=direct target_session_attrs=primary options='-c search_path=public -c x=\\\\y' application_name=mine "+
		"connect_timeout=7 krbsrvname=pg min_protocol_version=3.0 max_protocol_version=3.2")
	for name, pair := range map[string][2]string{
		"channel_binding":      {config.ChannelBinding, "require"},
		"require_auth":         {config.RequireAuth, "scram-sha-256"},
		"sslcertmode":          {config.SSLCertMode, "disable"},
		"sslnegotiation":       {config.SSLNegotiation, "direct"},
		"options":              {config.RuntimeParams["options"], `-c search_path=public -c x=\y`},
		"application_name":     {config.RuntimeParams["application_name"], "mine"},
		"client_encoding":      {config.RuntimeParams["client_encoding"], "UTF8"},
		"krbsrvname":           {config.KerberosSrvName, "pg"},
		"max_protocol_version": {config.MaxProtocolVersion, "3.2"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, want %q", name, pair[0], pair[1])
		}
	}
	if config.ConnectTimeout != 7*time.Second || config.ValidateConnect == nil {
		t.Errorf("timeout %v, ValidateConnect set: %v", config.ConnectTimeout, config.ValidateConnect != nil)
	}
}

func TestANegativeTimeoutIsNone(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"connect_timeout=-1", "connect_timeout=0", "connect_timeout=''"} {
		if config, _ := parse(t, dsn); config.ConnectTimeout != 0 {
			t.Errorf("%s: %v", dsn, config.ConnectTimeout)
		}
	}
}

func TestHostaddrIsDialledAndTheNameStaysForTLS(t *testing.T) {
	t.Parallel()
	config, _ := parse(t, "host=a,b hostaddr=10.0.0.1,fd00::2 port=5,6 user=u sslmode=prefer ssl_min_protocol_version=TLSv1.3")
	if got, want := summary(config), "tls 10.0.0.1:5, 10.0.0.1:5, tls fd00::2:6, fd00::2:6"; got != want {
		t.Fatalf("tries %s, want %s", got, want)
	}
	all := tlsConfigs(config)
	if all[0].ServerName != "a" || all[1].ServerName != "b" {
		t.Errorf("TLS names %q and %q", all[0].ServerName, all[1].ServerName)
	}
	if config, _ := parse(t, "host=a,a,c hostaddr=10.0.0.1,10.0.0.2, user=u sslmode=disable"); summary(config) != "10.0.0.1:5432, 10.0.0.2:5432, c:5432" {
		t.Errorf("tries %s", summary(config))
	}
	if config, _ := parse(t, "hostaddr=10.0.0.1 user=u sslmode=disable"); summary(config) != "10.0.0.1:5432" {
		t.Errorf("tries %s", summary(config))
	}
	if config, _ := parse(t, "host=/run hostaddr=10.0.0.1 user=u sslmode=require"); summary(config) != "tls 10.0.0.1:5432" {
		t.Errorf("tries %s", summary(config))
	}
}

func TestIgnoredSettingsWorthKnowingAreNoted(t *testing.T) {
	t.Parallel()
	_, notes := parse(t, "host=a,b user=u load_balance_hosts=random sslkeylogfile=/tmp/k oauth_issuer=i oauth_client_secret=geheim")
	text := strings.Join(notes, "\n")
	for _, want := range []string{"load_balance_hosts=random", "sslkeylogfile", "oauth_issuer", "oauth_client_secret"} {
		if !strings.Contains(text, want) {
			t.Errorf("no note on %s in %q", want, notes)
		}
	}
	if strings.Contains(text, "geheim") {
		t.Errorf("a secret in %q", notes)
	}
}
