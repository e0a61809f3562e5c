package conninfo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keyed is a connection string with a copy of a key, private to its owner.
func keyed(t *testing.T, name string, mode os.FileMode, more string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	path := file(t, name, string(data), 0o600)
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return "host=db user=u sslmode=require sslcert=testdata/client.crt sslkey=" + path + " " + more
}

func TestClientKeysAreReadInEveryFormThatLibpqReads(t *testing.T) {
	t.Parallel()
	for name, password := range map[string]string{
		"ec-parameters.pem": "", "pkcs8.pem": "", "ec.der": "", "pkcs8.der": "",
		"ec-encrypted.pem": "geheim", "pkcs8-aes256.pem": "geheim", "pkcs8-aes128-sha1.pem": "geheim",
		"pkcs8-des3.pem": "geheim", "pkcs8-aes256.der": "geheim",
	} {
		config, _, err := Parse(keyed(t, name, 0o600, "sslpassword='"+password+"'"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if n := len(config.TLSConfig.Certificates); n != 1 {
			t.Errorf("%s: %d client certificates", name, n)
		}
		if password == "" {
			continue
		}
		for wrong, want := range map[string]string{"": "give sslpassword", "falsch": "sslpassword does not decrypt it"} {
			if _, _, err := Parse(keyed(t, name, 0o600, "sslpassword='"+wrong+"'")); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s with password %q: %v", name, wrong, err)
			}
		}
	}
}

func TestAKeyThatCannotBeUsedIsNamedWithTheReason(t *testing.T) {
	t.Parallel()
	none := file(t, "none.key", "no key at all", 0o600)
	for dsn, want := range map[string]string{
		keyed(t, "pkcs8-scrypt.pem", 0o600, "sslpassword=geheim"):                                                       "openssl pkcs8 -topk8 -v2 aes-256-cbc writes one",
		"host=db sslmode=require user=u sslcert=testdata/client.crt sslkey=" + none:                                     "holds no private key",
		"host=db sslmode=require user=u sslcert=testdata/client.crt sslkey=/nonexistent":                                "/nonexistent does not exist",
		"host=db sslmode=require user=u sslcert=/nonexistent sslkey=testdata/pkcs8.pem":                                 "read the client certificate",
		"host=db sslmode=require user=u sslcert=testdata/client.crt sslkey=" + t.TempDir():                              "is no regular file",
		"host=db sslmode=require user=u sslcert=testdata/pkcs8.pem sslkey=" + file(t, "k", read(t, "pkcs8.pem"), 0o600): "client certificate testdata/pkcs8.pem",
	} {
		if _, _, err := Parse(dsn); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", dsn, err, want)
		}
	}
	// Where nothing needs the key, nothing is said of it.
	for _, dsn := range []string{"host=/tmp user=u sslkey=/no sslcert=/no", "host=db user=u sslmode=disable sslkey=/no sslcert=/no",
		"host=db user=u sslmode=require sslcertmode=disable sslkey=/no sslcert=/no"} {
		if _, _, err := Parse(dsn); err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAKeyThatOthersMayReadIsRefused(t *testing.T) {
	t.Parallel()
	_, _, err := Parse(keyed(t, "pkcs8.pem", 0o644, ""))
	if err == nil || !strings.Contains(err.Error(), "can be read by others (mode 0644): chmod 600 ") {
		t.Errorf("error %v", err)
	}
	_, _, err = Parse(keyed(t, "pkcs8.pem", 0o640, ""))
	if root := os.Getuid() == 0; (err == nil) != root {
		t.Errorf("readable for a group, as root %v: %v", root, err)
	}
}
