package conninfo

import (
	"strings"
	"testing"
)

func TestWhatCannotBeHonouredIsRefusedByName(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"gssencmode=require":                       "gssencmode=require is refused",
		"postgres://h/d?gssencmode=require":        "gssencmode=require is refused",
		"requirepeer=postgres":                     "requirepeer=postgres is refused",
		"sslcrl=/etc/x.crl":                        "sslcrl=/etc/x.crl is refused",
		"sslcrldir=/etc/crl":                       "sslcrldir=/etc/crl is refused",
		"scram_client_key=geheim":                  "scram_client_key is refused",
		"scram_server_key=geheim":                  "scram_server_key is refused",
		"replication=database":                     "replication=database is refused",
		"host=h sslnegotiation=direct":             "sslnegotiation=direct needs sslmode",
		"host=h sslrootcert=system sslmode=prefer": "sslmode=prefer can't be used with sslrootcert=system",
		"host=h sslmode=verify-full":               "sslmode=verify-full needs a root certificate",
		"host=h sslmode=verify-ca":                 "sslmode=verify-ca needs a root certificate",
		"host=h sslmode=verify-ca sslrootcert=/no": "unable to read CA file: open /no",
	} {
		if _, _, err := Parse(dsn); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: error %v\nlacks %q", dsn, err, want)
		}
	}
}

func TestMalformedStringsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"dbname=x pool_max_conns=3":      `invalid connection option "pool_max_conns"`,
		"DBNAME=x":                       `invalid connection option "DBNAME"`,
		"database=x":                     `invalid connection option "database"`,
		"statement_cache_capacity=3":     "invalid connection option",
		"postgres://h/d?sslmod=require":  `invalid connection option "sslmod"`,
		"postgres://h/d?ssl=false":       `invalid connection option "ssl"`,
		"plone":                          `has no "=" after it`,
		"dbname=plone zodb":              `missing "=" after a word behind dbname=`,
		"dbname='plone":                  "dbname: the quoted value does not end",
		`dbname='plone\'`:                "dbname: the quoted value does not end",
		"dbname=a\x00b":                  "NUL",
		"postgres://h/%00":               "dbname: has a NUL byte",
		"postgres://h/%zz":               "dbname: a % that is not followed",
		"postgres://[::1/d":              "IPv6",
		"postgres://[]/d":                "IPv6",
		"postgres://[::1]x/d":            "IPv6",
		"postgres://h/d?sslmode":         "exactly one =",
		"postgres://h/d?options=a=b":     "exactly one =",
		"port=99999":                     "port is not a number",
		"port=0":                         "port is not a number",
		"host=a,b port=1,2,3":            "port and host differ in number, 3 and 2",
		"host=a,b hostaddr=10.0.0.1":     "host and hostaddr differ in number, 2 and 1",
		"hostaddr=db.example.org":        `hostaddr "db.example.org" is not an IP address`,
		"host=@abstract":                 "abstract namespace",
		"connect_timeout=soon":           "connect_timeout=soon: expected whole seconds",
		"sslmode=on":                     "sslmode=on: expected disable",
		"gssencmode=on":                  "gssencmode=on: expected",
		"load_balance_hosts=yes":         "load_balance_hosts=yes: expected",
		"sslnegotiation=maybe":           "sslnegotiation=maybe: expected",
		"channel_binding=maybe":          "channel_binding value: maybe",
		"require_auth=magic":             "invalid require_auth",
		"sslcertmode=x":                  "invalid sslcertmode",
		"target_session_attrs=x":         "unknown target_session_attrs value: x",
		"ssl_min_protocol_version=SSLv3": "ssl_min_protocol_version=SSLv3: expected",
		"ssl_max_protocol_version=TLSv1": "ssl_max_protocol_version=TLSv1 is below the lowest version allowed, TLS 1.2",
		"service=none":                   `service "none" is not defined in `,
	} {
		_, _, err := Parse(dsn)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v\nlacks %q", dsn, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "cannot parse `") {
			t.Errorf("%q: the error shows a string that nobody wrote: %v", dsn, err)
		}
	}
}

func TestErrorsDoNotRepeatPasswords(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{
		"host=h password=geheim nonsense=1",
		"host=h password=a geheim",
		"host=h password=a geheim host=b",
		"host=h password=a geheim=b",
		"password='geheim",
		"password=geheim",
		"password=geheim host=h sslmode=verify-full",
		"password=geheim target_session_attrs=x host=h",
		"geheim",
		"'geheim'=1",
		"postgres://u:geheim@h:x/d",
		"postgres://u:a@geheim@h/d",
		"postgres://u:a/geheim@h/d",
		"postgres://u:geheim/a@h/d",
		"postgres://u:geheim%@h/d",
		"postgres://u:a?geheim@h:1:2/d",
		"postgres://h/d?password=a&geheim=b",
		"postgres://h/d?password=a&geheim%zz=b",
		"postgres://h/d?password=a=geheim",
		"host=h sslpassword=geheim sslmode=require sslcert=/no sslkey=/no",
		"oauth_client_secret=geheim port=x",
	} {
		config, _, err := Parse(dsn)
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", dsn, err)
		}
		if err == nil && strings.Contains(config.ConnString(), "geheim") {
			t.Errorf("%s: ConnString %s", dsn, config.ConnString())
		}
		if err == nil && dsn != "password=geheim" {
			t.Errorf("%s: no error", dsn)
		}
	}
}

func FuzzParseNeverPanics(f *testing.F) {
	for _, dsn := range []string{"", "a", "host=a", `host='a\`, "=", "host", "host =", "postgres://", "postgres://u:p@[::1]:1,b:2/d?sslmode=disable&x",
		"host=a,b hostaddr=,::1 port=,", "postgresql://%", "hostaddr=::1%eth0 sslmode=verify-full sslrootcert=system"} {
		f.Add(dsn)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		for _, name := range []string{"file", "sslcert", "sslkey", "sslrootcert", "service"} {
			if strings.Contains(dsn, name) {
				t.Skip("would read files of this machine")
			}
		}
		config, _, err := Parse(dsn)
		if err == nil && (config == nil || config.Port == 0 || config.Host == "") {
			t.Fatalf("%q: neither an error nor a host and a port", dsn)
		}
	})
}
