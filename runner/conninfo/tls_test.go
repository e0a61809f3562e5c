package conninfo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority writes a certificate authority's certificate and returns its path.
func authority(t *testing.T, name string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, name, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o600)
}

func TestTLSVersionsHoldForEveryAttempt(t *testing.T) {
	t.Parallel()
	config, _ := parse(t, "host=a,b,c user=u ssl_min_protocol_version=tlsv1.1 ssl_max_protocol_version=TLSv1.2")
	all := tlsConfigs(config)
	if len(all) != 3 {
		t.Fatalf("%d attempts with TLS, want 3", len(all))
	}
	for i, c := range all {
		if c.MinVersion != tls.VersionTLS11 || c.MaxVersion != tls.VersionTLS12 {
			t.Errorf("attempt %d: versions %x to %x", i, c.MinVersion, c.MaxVersion)
		}
	}
}

func TestVerificationFollowsTheMode(t *testing.T) {
	t.Parallel()
	root := authority(t, "root.crt")
	for _, test := range []struct {
		dsn             string
		name            string
		skip, chain, ca bool
		notes           int
	}{
		{"sslmode=verify-full sslrootcert=" + root, "db", false, false, true, 0},
		{"sslmode=verify-full sslsni=0 sslrootcert=" + root, "db", false, false, true, 0},
		{"sslmode=verify-ca sslrootcert=" + root, "db", true, true, true, 0},
		{"sslmode=require sslrootcert=" + root, "db", true, true, true, 0},
		{"sslmode=require sslrootcert=/nonexistent", "db", true, false, false, 1},
		{"sslmode=require sslsni=0", "", true, false, false, 0},
		{"sslrootcert=system", "db", false, false, true, 0},
		{"sslrootcert=system sslmode=verify-full hostaddr=10.0.0.1", "db", false, false, true, 0},
	} {
		config, notes := parse(t, "host=db user=u "+test.dsn)
		c := config.TLSConfig
		if len(config.Fallbacks) > 0 || c == nil {
			t.Errorf("%s: tries %s", test.dsn, summary(config))
			continue
		}
		if c.ServerName != test.name || c.InsecureSkipVerify != test.skip || (c.VerifyPeerCertificate != nil) != test.chain || (c.RootCAs != nil) != test.ca {
			t.Errorf("%s: name %q, skips verification %v, verifies the chain %v, has roots %v", test.dsn,
				c.ServerName, c.InsecureSkipVerify, c.VerifyPeerCertificate != nil, c.RootCAs != nil)
		}
		if len(notes) != test.notes {
			t.Errorf("%s: notes %q", test.dsn, notes)
		}
	}
}

func TestAMissingRootCertificateIsNoMatterForSocketsAndPlainConnections(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"host=/tmp user=u sslmode=verify-full", "host=db user=u sslmode=disable sslrootcert=/nonexistent"} {
		if config, notes := parse(t, dsn); len(tlsConfigs(config)) > 0 || len(notes) > 0 {
			t.Errorf("%s: tries %s, notes %q", dsn, summary(config), notes)
		}
	}
}

func TestFilesInTheHomeDirectoryCount(t *testing.T) {
	root := authority(t, ".postgresql/root.crt")
	t.Setenv("HOME", filepath.Dir(filepath.Dir(root)))
	config, _ := parse(t, "host=db user=u sslmode=verify-full")
	if config.TLSConfig.RootCAs == nil {
		t.Error("~/.postgresql/root.crt is not used")
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(root), "root.crl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Parse("host=db user=u sslmode=verify-full"); err == nil || !strings.Contains(err.Error(), "root.crl exists") {
		t.Errorf("error %v", err)
	}
	parse(t, "host=/tmp user=u")
}
