package conninfo

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// What an encrypted PKCS#8 key looks like (RFC 5958, EncryptedPrivateKeyInfo;
// RFC 8018, PBES2 with PBKDF2): a few lines here instead of a package.
type (
	encryptedKey struct {
		Algorithm algorithm
		Data      []byte
	}
	algorithm struct {
		OID        asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	pbes2Parameters struct {
		Derivation, Encryption algorithm
	}
	pbkdf2Parameters struct {
		Salt       []byte
		Iterations int
		Length     int       `asn1:"optional"`
		Hash       algorithm `asn1:"optional"`
	}
)

const (
	oidPBES2  = "1.2.840.113549.1.5.13"
	oidPBKDF2 = "1.2.840.113549.1.5.12"
)

// hashes of PBKDF2 by their OIDs. Without one it is SHA-1.
var hashes = map[string]func() hash.Hash{
	"":                    sha1.New,
	"1.2.840.113549.2.7":  sha1.New,
	"1.2.840.113549.2.8":  sha256.New224,
	"1.2.840.113549.2.9":  sha256.New,
	"1.2.840.113549.2.10": sha512.New384,
	"1.2.840.113549.2.11": sha512.New,
}

// ciphers of PBES2, all in CBC mode, by their OIDs.
var ciphers = map[string]struct {
	length int // of the key, in bytes
	block  func([]byte) (cipher.Block, error)
}{
	"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
	"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
	"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
	"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
}

// maxIterations is more than anybody waits for.
const maxIterations = 100_000_000

// decryptPKCS8 decrypts a key, if it is an encrypted one in PKCS#8.
func decryptPKCS8(der []byte, password string) (key []byte, encrypted bool, err error) {
	var outer encryptedKey
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 || len(outer.Algorithm.OID) == 0 {
		return nil, false, nil
	}
	if password == "" {
		return nil, true, errNoPassword
	}
	key, err = outer.decrypt(password)
	return key, true, err
}

func (k encryptedKey) decrypt(password string) ([]byte, error) {
	if oid := k.Algorithm.OID.String(); oid != oidPBES2 {
		return nil, fmt.Errorf("it is encrypted in an old way (%s): openssl pkcs8 -topk8 -v2 aes-256-cbc writes it in one that relpack knows", oid)
	}
	var scheme pbes2Parameters
	var derivation pbkdf2Parameters
	if _, err := asn1.Unmarshal(k.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, errors.New("it is encrypted in a way that relpack can't read")
	}
	if oid := scheme.Derivation.OID.String(); oid != oidPBKDF2 {
		return nil, fmt.Errorf("its password is used in a way that relpack doesn't know (%s): openssl pkcs8 -topk8 -v2 aes-256-cbc writes one that it does", oid)
	}
	if _, err := asn1.Unmarshal(scheme.Derivation.Parameters.FullBytes, &derivation); err != nil ||
		derivation.Iterations < 1 || derivation.Iterations > maxIterations {
		return nil, errors.New("it is encrypted in a way that relpack can't read")
	}
	digest, known := hashes[derivation.Hash.OID.String()]
	if !known {
		return nil, fmt.Errorf("its password is hashed in a way that relpack doesn't know (%s)", derivation.Hash.OID)
	}
	suite, known := ciphers[scheme.Encryption.OID.String()]
	if !known {
		return nil, fmt.Errorf("it is encrypted by a cipher that relpack doesn't know (%s)", scheme.Encryption.OID)
	}
	secret, err := pbkdf2.Key(digest, password, derivation.Salt, derivation.Iterations, suite.length)
	if err != nil {
		return nil, err
	}
	block, err := suite.block(secret)
	if err != nil {
		return nil, err
	}
	var vector []byte
	if _, err := asn1.Unmarshal(scheme.Encryption.Parameters.FullBytes, &vector); err != nil || len(vector) != block.BlockSize() ||
		len(k.Data) == 0 || len(k.Data)%block.BlockSize() != 0 {
		return nil, errors.New("it is encrypted in a way that relpack can't read")
	}
	plain := make([]byte, len(k.Data))
	cipher.NewCBCDecrypter(block, vector).CryptBlocks(plain, k.Data)
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > block.BlockSize() {
		return nil, errWrongPassword
	}
	plain = plain[:len(plain)-padding]
	if _, err := asPKCS8(plain); err != nil {
		return nil, errWrongPassword
	}
	return plain, nil
}
