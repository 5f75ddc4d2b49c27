package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"

	"banyan/model"
)

// Every key that this package makes is ECDSA on P-256: Go, curl and every browser take it, and signing costs some 20 µs.
func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, model.Errorf(model.KindInternal, "cannot make a key: %w", err)
	}
	return key, nil
}

// encodePEM writes a key and its certificates, the key first. One file holds both, so that a crash cannot part them.
func encodePEM(key crypto.Signer, certificates ...*x509.Certificate) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, model.Errorf(model.KindInternal, "cannot encode a key: %w", err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return append(data, encodeCertificates(certificates...)...), nil
}

func encodeCertificates(certificates ...*x509.Certificate) []byte {
	var data []byte
	for _, c := range certificates {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return data
}

// decodePEM reads what encodePEM wrote: exactly one key, which is the first certificate's.
func decodePEM(path string, data []byte) (*ecdsa.PrivateKey, []*x509.Certificate, error) {
	key, certificates, successions, err := decodeBlocks(path, data)
	if err == nil && len(successions) > 0 {
		err = damaged(path, "it holds an unknown block")
	}
	return key, certificates, err
}

// decodeBlocks is decodePEM, and takes succession documents as well.
func decodeBlocks(path string, data []byte) (key *ecdsa.PrivateKey, certificates []*x509.Certificate, successions [][]byte, err error) {
	for len(bytes.TrimSpace(data)) > 0 {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, nil, nil, damaged(path, "it holds something that is not PEM")
		}
		data = rest
		switch block.Type {
		case "PRIVATE KEY":
			parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			ec, ok := parsed.(*ecdsa.PrivateKey)
			if err != nil || !ok || ec.Curve != elliptic.P256() || key != nil {
				return nil, nil, nil, damaged(path, "its private key cannot be read")
			}
			key = ec
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, nil, damaged(path, "a certificate in it cannot be read")
			}
			certificates = append(certificates, c)
		case successionBlock:
			successions = append(successions, block.Bytes)
		default:
			return nil, nil, nil, damaged(path, "it holds an unknown block")
		}
	}
	if key == nil || len(certificates) == 0 {
		return nil, nil, nil, damaged(path, "it does not hold a private key and a certificate")
	}
	if !key.PublicKey.Equal(certificates[0].PublicKey) {
		return nil, nil, nil, damaged(path, "its certificate belongs to another key")
	}
	return key, certificates, successions, nil
}

func damaged(path, detail string) error {
	return &model.Error{Kind: model.KindCorrupt, Op: "read", Detail: path + " is damaged: " + detail, Remedy: "restore it from a backup of this node"}
}
