package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// The peer: a NATS leaf node below a NATS server, over TLS, publisher and subscriber in processes of their own, with the client's default batching.

// natsSubjects is how many subjects the publisher goes around: as many as there are variables on our side would cost it more.
const natsSubjects = 1000

// runNATSServer serves clients on a plain local port and leaf nodes, where it has any, on a TLS one; with a remote it is a leaf itself.
func runNATSServer(dir, clientAddress, leafAddress, remote string) error {
	options := &server.Options{NoSigs: true, NoLog: true, ServerName: filepath.Base(clientAddress), MaxPending: 256 << 20}
	if err := setAddress(clientAddress, &options.Host, &options.Port); err != nil {
		return err
	}
	certificate, pool, err := natsTLS(dir)
	if err != nil {
		return err
	}
	if leafAddress != "" {
		if err := setAddress(leafAddress, &options.LeafNode.Host, &options.LeafNode.Port); err != nil {
			return err
		}
		options.LeafNode.TLSConfig = &tls.Config{
			Certificates: []tls.Certificate{certificate}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
		}
	}
	if remote != "" {
		options.LeafNode.Remotes = []*server.RemoteLeafOpts{{
			URLs: []*url.URL{{Scheme: "tls", Host: remote}}, TLS: true,
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13},
		}}
	}
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	s.Start()
	waitForEnd()
	s.Shutdown()
	return nil
}

func setAddress(address string, host *string, port *int) error {
	h, p, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	*host = h
	_, err = fmt.Sscan(p, port)
	return err
}

// natsTLS reads the throw-away certificate that both servers share, making it where it is missing.
func natsTLS(dir string) (tls.Certificate, *x509.CertPool, error) {
	file := filepath.Join(dir, "nats.pem")
	if _, err := os.Stat(file); err != nil {
		if err := makeCertificate(file); err != nil {
			return tls.Certificate{}, nil, err
		}
	}
	certificate, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	return certificate, pool, nil
}

func makeCertificate(file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour * 24),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	out := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})...)
	return os.WriteFile(file, out, 0o600)
}

// runNATSPublisher publishes counters for a time: number and time of sending, 16 bytes, at a rate or as fast as it can.
func runNATSPublisher(address string, rate float64, lasts time.Duration) error {
	conn, err := nats.Connect("nats://" + address)
	if err != nil {
		return err
	}
	defer conn.Close()
	subjects := make([]string, natsSubjects)
	for i := range subjects {
		subjects[i] = fmt.Sprintf("bench.v%d", i)
	}
	payload := make([]byte, 16)
	sent := uint64(0)
	began := time.Now()
	pace := newPace(rate, began)
	for time.Since(began) < lasts {
		for range pace.due(time.Now()) {
			sent++
			binary.LittleEndian.PutUint64(payload, sent)
			binary.LittleEndian.PutUint64(payload[8:], uint64(time.Now().UnixNano()))
			if err := conn.Publish(subjects[sent%natsSubjects], payload); err != nil {
				return err
			}
		}
		if rate > 0 && rate <= 10_000 {
			_ = conn.Flush()
		}
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(published{Sent: sent, Seconds: time.Since(began).Seconds()})
}

// published is what a publisher says at its end.
type published struct {
	Sent    uint64
	Seconds float64
}

// runNATSSubscriber counts what arrives until nothing does any more, and how long each took.
func runNATSSubscriber(address string, measureLatency bool, lasts time.Duration) error {
	conn, err := nats.Connect("nats://" + address)
	if err != nil {
		return err
	}
	defer conn.Close()
	seen := newTally(measureLatency)
	sub, err := conn.Subscribe("bench.>", func(m *nats.Msg) {
		seen.add(1, int64(binary.LittleEndian.Uint64(m.Data[8:])))
	})
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	fmt.Println("ready")
	return seen.report(context.Background(), lasts)
}
