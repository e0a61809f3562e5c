package conninfo

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// clientCertificate reads sslcert and sslkey as libpq does (PostgreSQL manual,
// "Client Certificates"); nil where there is none. pgx knows neither keys in DER
// nor encrypted ones in PKCS#8, and takes a key that everybody may read.
func (s settings) clientCertificate() (*tls.Certificate, error) {
	if s["sslcertmode"].value == "disable" {
		return nil, nil
	}
	file, key := s["sslcert"].value, s["sslkey"].value
	if file == "" {
		if file = homeFile(".postgresql", "postgresql.crt"); !exists(file) {
			if key != "" {
				return nil, fmt.Errorf("%s has no certificate beside it: give sslcert", s.describe("sslkey"))
			}
			return nil, nil
		}
	}
	if key == "" {
		key = homeFile(".postgresql", "postgresql.key")
	}
	certificate, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the client certificate: %w", err)
	}
	der, err := readKey(key, s["sslpassword"].value)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		return nil, fmt.Errorf("client certificate %s and key %s: %w", file, key, err)
	}
	return &pair, nil
}

// readKey returns the private key of a file in PKCS#8, decrypted.
func readKey(file, password string) ([]byte, error) {
	if err := checkKeyFile(file); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the client key: %w", err)
	}
	der, err := keyDER(data, password)
	if err != nil {
		return nil, fmt.Errorf("client key %s: %w", file, err)
	}
	return der, nil
}

// keyDER finds the key in a PEM file, behind parameters of a curve or a
// certificate maybe, or takes the file for DER.
func keyDER(data []byte, password string) ([]byte, error) {
	der := data
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		der = block.Bytes
		//lint:ignore SA1019 old and weak, but OpenSSL wrote it, and libpq reads it
		if x509.IsEncryptedPEMBlock(block) {
			if password == "" {
				return nil, errNoPassword
			}
			var err error
			//lint:ignore SA1019 as above
			if der, err = x509.DecryptPEMBlock(block, []byte(password)); err != nil {
				return nil, errWrongPassword
			}
		}
		break
	}
	if key, encrypted, err := decryptPKCS8(der, password); encrypted {
		if err != nil {
			return nil, err
		}
		der = key
	}
	return asPKCS8(der)
}

var (
	errNoPassword    = errors.New("it is encrypted: give sslpassword")
	errWrongPassword = errors.New("sslpassword does not decrypt it")
)

// asPKCS8 takes a key in any of the forms that OpenSSL writes.
func asPKCS8(der []byte) ([]byte, error) {
	if _, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return der, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return x509.MarshalPKCS8PrivateKey(key)
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return x509.MarshalPKCS8PrivateKey(key)
	}
	return nil, errors.New("it holds no private key of a known form")
}

// checkKeyFile refuses what libpq refuses: a key that others may read. One that
// belongs to root may be readable for a group.
func checkKeyFile(file string) error {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the client certificate has no key: %s does not exist", file)
	}
	if err != nil {
		return fmt.Errorf("read the client key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("client key %s is no regular file", file)
	}
	if forbidden := othersMay(info); info.Mode().Perm()&forbidden != 0 {
		return fmt.Errorf("client key %s can be read by others (mode %#o): chmod 600 %[1]s; 640 will do if it belongs to root",
			file, info.Mode().Perm())
	}
	return nil
}
