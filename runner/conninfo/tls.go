package conninfo

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A rootCertificate is what certificates are verified against.
type rootCertificate struct {
	file  string // a path, "system", or "" for nothing
	notes []string
}

func (s settings) sslmode() string {
	if mode := s["sslmode"].value; mode != "" {
		return mode
	}
	if s["sslrootcert"].value == "system" {
		return "verify-full"
	}
	return "prefer"
}

// rootCertificate settles sslrootcert as libpq does (PostgreSQL manual, "Client
// Verification of Server Certificates"): a file that doesn't exist matters to
// verify-ca and verify-full only, and "system" goes with verify-full only. pgx
// would fail in the first case and raise the mode in the second.
func (s settings) rootCertificate() (rootCertificate, error) {
	mode, file := s.sslmode(), s["sslrootcert"].value
	switch {
	case file == "system" && mode != "verify-full":
		return rootCertificate{}, fmt.Errorf("%s can't be used with sslrootcert=system: use sslmode=verify-full", s.describe("sslmode"))
	case file == "system":
		return rootCertificate{file: file}, nil
	case mode == "disable":
		return rootCertificate{}, nil
	}
	given := file != ""
	if !given {
		file = homeFile(".postgresql", "root.crt")
	}
	if _, err := os.Stat(file); err == nil || given && !errors.Is(err, fs.ErrNotExist) {
		return rootCertificate{file: file}, nil // an unreadable one is pgx's to report
	}
	if !given {
		return rootCertificate{}, nil
	}
	if verifies(mode) {
		return rootCertificate{file: file}, nil
	}
	note := fmt.Sprintf("%s does not exist: the server's certificate is not verified with sslmode=%s.", s.describe("sslrootcert"), mode)
	return rootCertificate{notes: []string{note}}, nil
}

func verifies(mode string) bool { return mode == "verify-ca" || mode == "verify-full" }

// secure applies to all attempts alike what pgx has no setting for, and refuses
// what would be weaker than libpq.
func (s settings) secure(config *pgx.ConnConfig) error {
	lowest, highest, err := s.tlsVersions()
	if err != nil {
		return err
	}
	all := tlsConfigs(config)
	if len(all) == 0 {
		return nil
	}
	certificate, err := s.clientCertificate()
	if err != nil {
		return err
	}
	for _, t := range all {
		if certificate != nil {
			t.Certificates = []tls.Certificate{*certificate}
		}
		t.MinVersion, t.MaxVersion = lowest, highest
		if t.RootCAs == nil && verifies(s.sslmode()) {
			return fmt.Errorf("%s needs a root certificate, and %s does not exist: give sslrootcert=FILE, or sslrootcert=system for those of the operating system",
				s.describe("sslmode"), homeFile(".postgresql", "root.crt"))
		}
		if t.RootCAs != nil && (verifies(s.sslmode()) || s.sslmode() == "require") {
			if crl := homeFile(".postgresql", "root.crl"); exists(crl) {
				return fmt.Errorf("%s exists: %s", crl, refusals["sslcrl"])
			}
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// tlsVersions returns the bounds for crypto/tls. libpq's lower default is
// TLS 1.2, Go's too.
func (s settings) tlsVersions() (lowest, highest uint16, err error) {
	lowest, err = s.tlsVersion("ssl_min_protocol_version")
	if err != nil {
		return 0, 0, err
	}
	highest, err = s.tlsVersion("ssl_max_protocol_version")
	if err != nil {
		return 0, 0, err
	}
	if lowest == 0 {
		lowest = tls.VersionTLS12
	}
	if highest != 0 && lowest > highest {
		return 0, 0, fmt.Errorf("%s is below the lowest version allowed, %s", s.describe("ssl_max_protocol_version"), tls.VersionName(lowest))
	}
	return lowest, highest, nil
}

func (s settings) tlsVersion(name string) (uint16, error) {
	switch strings.ToLower(s[name].value) {
	case "":
		return 0, nil
	case "tlsv1":
		return tls.VersionTLS10, nil
	case "tlsv1.1":
		return tls.VersionTLS11, nil
	case "tlsv1.2":
		return tls.VersionTLS12, nil
	case "tlsv1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("%s: expected TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3", s.describe(name))
}
