package idp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	rsaBits   = 2048
	certLife  = 10 * 365 * 24 * time.Hour // a pretend CA outlives every test
	clockSlip = time.Hour                 // certificates begin in the past, for clocks that lag
)

func newKey(number int) (key, error) {
	k := key{KeyID: fmt.Sprintf("key-%d", number+1)}
	var err error
	if number%2 == 0 {
		k.Algorithm = "RS256"
		k.private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	} else {
		k.Algorithm = "ES256"
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return key{}, err
	}
	k.Private, err = x509.MarshalPKCS8PrivateKey(k.private)
	return k, err
}

func (s *Server) keys(name string) ([]key, error) {
	if !slices.Contains(s.names, name) {
		return nil, fmt.Errorf("%.40q: %w; there are %v", name, ErrNoIssuer, s.names)
	}
	text, err := os.ReadFile(s.keyFile(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var held []key
	if err := json.Unmarshal(text, &held); err != nil {
		return nil, fmt.Errorf("%s: %w", s.keyFile(name), err)
	}
	for i := range held {
		private, err := x509.ParsePKCS8PrivateKey(held[i].Private)
		if err != nil {
			return nil, fmt.Errorf("%s: key %d: %w", s.keyFile(name), i, err)
		}
		held[i].private = private.(crypto.Signer)
	}
	return held, nil
}

// change rewrites the issuer's key file by renaming a whole one over it, so that
// a reader never sees half.
func (s *Server) change(name string, step func([]key) ([]key, error)) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	held, err := s.keys(name)
	if err != nil {
		return err
	}
	if held, err = step(held); err != nil {
		return err
	}
	text, err := json.Marshal(held)
	if err != nil {
		return err
	}
	next := s.keyFile(name) + ".new"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return os.Rename(next, s.keyFile(name))
}

// authority loads or makes the private CA below dir and gives its certificate.
func authority(dir string) ([]byte, error) {
	certFile := filepath.Join(dir, "ca.pem")
	cert, err := os.ReadFile(certFile)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return cert, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := certificate("pretend CA")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, err
	}
	return writePair(certFile, filepath.Join(dir, "ca.key"), der, private)
}

func certificate(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-clockSlip), NotAfter: now.Add(certLife), KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

// WriteCertificate makes a server certificate for the host of address, signed by
// the CA below dir.
func WriteCertificate(dir, certFile, keyFile, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	ca, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key"))
	if err != nil {
		return err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := certificate(u.Hostname())
	if ip := net.ParseIP(u.Hostname()); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{u.Hostname(), "localhost"}
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, private.Public(), ca.PrivateKey)
	if err != nil {
		return err
	}
	_, err = writePair(certFile, keyFile, der, private)
	return err
}

func writePair(certFile, keyFile string, der []byte, private crypto.Signer) ([]byte, error) {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	var cert bytes.Buffer
	if err := pem.Encode(&cert, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return nil, err
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	return cert.Bytes(), errors.Join(os.WriteFile(certFile, cert.Bytes(), 0o640), os.WriteFile(keyFile, keyPEM, 0o600))
}

func (s *Server) serverTLS() (*tls.Config, error) {
	certFile, keyFile := filepath.Join(s.dir, "server.pem"), filepath.Join(s.dir, "server.key")
	if _, err := os.Stat(certFile); errors.Is(err, os.ErrNotExist) {
		if err := WriteCertificate(s.dir, certFile, keyFile, s.base); err != nil {
			return nil, err
		}
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
