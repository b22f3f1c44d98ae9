package wire

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/candignode/candignode/trust"
)

// protocol is the name both sides must offer in the handshake (ALPN, RFC 7301).
const protocol = "candignode/1"

// exporterLabel names the secret that binds a forwarded question to the
// connection it travels on (RFC 8446 section 7.5; trust-protocol.md, section 11).
const exporterLabel = "EXPORTER-candignode-forward"

var (
	errWrongKey  = errors.New("another key answers at its address than the pinned one: an impostor, or the peer has a new key that its operator must confirm to you")
	errStranger  = errors.New("not a configured peer")
	errKeyType   = errors.New("not a single Ed25519 certificate")
	errNoAlpn    = errors.New("no agreed protocol")
	errResumed   = errors.New("a resumed session: this node gives no tickets")
	errEarlyData = errors.New("early data")
)

// certificate makes the self-signed certificate that carries the node's key.
// It holds nothing else: no name, and the same dates and number for every node
// and every start, so that a stranger who is refused has learnt the public key
// only. Peers never look at anything but the key.
func certificate(key ed25519.PrivateKey) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280: no expiry
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("the node's certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// resetKey derives the key of stateless resets (RFC 9000, section 10.3) from
// the node's key, so that a node that was killed and started again can end its
// former connections at the first packet instead of after the idle time.
func resetKey(key ed25519.PrivateKey) (*quic.StatelessResetKey, error) {
	derived, err := hkdf.Key(sha256.New, key.Seed(), nil, "candignode stateless reset", len(quic.StatelessResetKey{}))
	if err != nil {
		return nil, fmt.Errorf("the stateless reset key: %w", err)
	}
	return (*quic.StatelessResetKey)(derived), nil
}

// listenTLS accepts exactly the keys that pinned knows. The check stands in
// VerifyConnection, which unlike VerifyPeerCertificate no resumption skips.
func listenTLS(cert tls.Certificate, pinned func(trust.NodeID) error) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{cert},
		ClientAuth:             tls.RequireAnyClientCert,
		NextProtos:             []string{protocol},
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			node, _, err := peerOf(state)
			if err != nil {
				return err
			}
			return pinned(node)
		},
	}
}

// dialTLS accepts exactly one key.
func dialTLS(cert tls.Certificate, want trust.NodeID, wrong func(trust.NodeID)) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{cert},
		NextProtos:             []string{protocol},
		SessionTicketsDisabled: true,
		// There is no authority and no name to check: VerifyConnection checks
		// the key itself, and is never skipped.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			node, _, err := peerOf(state)
			if err != nil {
				return err
			}
			if node != want {
				wrong(node)
				return errWrongKey
			}
			return nil
		},
	}
}

// peerOf takes the peer's key and name from a finished handshake and refuses
// every handshake that this protocol does not make.
func peerOf(state tls.ConnectionState) (trust.NodeID, ed25519.PublicKey, error) {
	switch {
	case state.DidResume:
		return "", nil, errResumed
	case state.NegotiatedProtocol != protocol:
		return "", nil, errNoAlpn
	case len(state.PeerCertificates) != 1:
		return "", nil, errKeyType
	}
	leaf := state.PeerCertificates[0]
	public, ok := leaf.PublicKey.(ed25519.PublicKey)
	if !ok {
		return "", nil, errKeyType
	}
	return trust.NodeIDOfSPKI(leaf.RawSubjectPublicKeyInfo), public, nil
}

// identityOf gives who is at the other end of an established connection, and
// the secret that only its two ends share.
func identityOf(conn *quic.Conn) (node trust.NodeID, key ed25519.PublicKey, exporter [32]byte, err error) {
	state := conn.ConnectionState()
	if state.Used0RTT {
		return "", nil, exporter, errEarlyData
	}
	if node, key, err = peerOf(state.TLS); err != nil {
		return "", nil, exporter, err
	}
	secret, err := state.TLS.ExportKeyingMaterial(exporterLabel, nil, len(exporter))
	if err != nil {
		return "", nil, exporter, fmt.Errorf("exporter: %w", err)
	}
	copy(exporter[:], secret)
	return node, key, exporter, nil
}
