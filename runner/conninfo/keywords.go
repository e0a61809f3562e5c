package conninfo

// A treatment says what becomes of a keyword.
type treatment int

const (
	given      treatment = iota // to pgx, as it is
	translated                  // by this package
	ignored                     // it can't matter here; judge may add a note
	refused                     // unless empty; see refusals
)

// A keyword of libpq.
type keyword struct {
	treatment treatment
	env       string // the variable that sets it when nothing else does
}

// keywords are all that PostgreSQL 15 to 18 know, and servicefile, which came
// later and which pgx takes. (PGSERVICEFILE has always existed.)
//
// Keepalives are left to Go, which probes after 15 idle seconds, sooner than any
// sensible setting. sslcompression has no effect since PostgreSQL 14.
var keywords = map[string]keyword{
	"application_name":     {given, "PGAPPNAME"},
	"channel_binding":      {given, "PGCHANNELBINDING"},
	"dbname":               {given, "PGDATABASE"},
	"krbsrvname":           {given, "PGKRBSRVNAME"},
	"max_protocol_version": {given, "PGMAXPROTOCOLVERSION"},
	"min_protocol_version": {given, "PGMINPROTOCOLVERSION"},
	"options":              {given, "PGOPTIONS"},
	"require_auth":         {given, "PGREQUIREAUTH"},
	"sslcertmode":          {given, "PGSSLCERTMODE"},
	"sslmode":              {given, "PGSSLMODE"},
	"sslnegotiation":       {given, "PGSSLNEGOTIATION"},
	"sslsni":               {given, "PGSSLSNI"},
	"target_session_attrs": {given, "PGTARGETSESSIONATTRS"},
	"user":                 {given, "PGUSER"},

	"connect_timeout":          {translated, "PGCONNECT_TIMEOUT"},
	"host":                     {translated, "PGHOST"},
	"hostaddr":                 {translated, "PGHOSTADDR"},
	"passfile":                 {translated, "PGPASSFILE"},
	"password":                 {translated, "PGPASSWORD"},
	"port":                     {translated, "PGPORT"},
	"service":                  {translated, "PGSERVICE"},
	"servicefile":              {translated, "PGSERVICEFILE"},
	"ssl_max_protocol_version": {translated, "PGSSLMAXPROTOCOLVERSION"},
	"ssl_min_protocol_version": {translated, "PGSSLMINPROTOCOLVERSION"},
	"sslcert":                  {translated, "PGSSLCERT"},
	"sslkey":                   {translated, "PGSSLKEY"},
	"sslpassword":              {translated, ""},
	"sslrootcert":              {translated, "PGSSLROOTCERT"},

	"client_encoding":           {ignored, "PGCLIENTENCODING"},
	"fallback_application_name": {ignored, ""},
	"gssdelegation":             {ignored, "PGGSSDELEGATION"},
	"gssencmode":                {ignored, "PGGSSENCMODE"},
	"gsslib":                    {ignored, "PGGSSLIB"},
	"keepalives":                {ignored, ""},
	"keepalives_count":          {ignored, ""},
	"keepalives_idle":           {ignored, ""},
	"keepalives_interval":       {ignored, ""},
	"load_balance_hosts":        {ignored, "PGLOADBALANCEHOSTS"},
	"oauth_client_id":           {ignored, ""},
	"oauth_client_secret":       {ignored, ""},
	"oauth_issuer":              {ignored, ""},
	"oauth_scope":               {ignored, ""},
	"replication":               {ignored, ""},
	"sslcompression":            {ignored, "PGSSLCOMPRESSION"},
	"sslkeylogfile":             {ignored, ""},
	"tcp_user_timeout":          {ignored, ""},

	"requirepeer":      {refused, "PGREQUIREPEER"},
	"scram_client_key": {refused, ""},
	"scram_server_key": {refused, ""},
	"sslcrl":           {refused, "PGSSLCRL"},
	"sslcrldir":        {refused, "PGSSLCRLDIR"},
}

// refusals are the reasons, each with the way out.
var refusals = map[string]string{
	"requirepeer":      "relpack can't check which user owns the server's socket; leave it out, or connect by TCP with sslmode=verify-full",
	"scram_client_key": "relpack can't log in with SCRAM keys; give the password, best in a password file",
	"scram_server_key": "relpack can't log in with SCRAM keys; give the password, best in a password file",
	"sslcrl":           "relpack can't check certificate revocation lists; leave it out if you can do without",
	"sslcrldir":        "relpack can't check certificate revocation lists; leave it out if you can do without",
}

// secret reports whether the keyword's value must never be shown.
func secret(name string) bool {
	switch name {
	case "password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key":
		return true
	}
	return false
}
