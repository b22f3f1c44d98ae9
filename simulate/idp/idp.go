// Package idp is a pretend OpenID provider, or several on one address: real keys,
// discovery, sign-in by code and by device, token exchange for passports, UserInfo,
// introspection and claim sources, over HTTPS, as GA4GH AAI 1.2 asks of brokers.
// Everything that it signs verifies. It signs whatever it is told to, signs anybody
// in without a password and can be told to misbehave, which is what makes it
// pretend; nothing of the daemon uses it.
package idp

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// Life is how long passports and visas of the pretend issuers are valid.
const Life = time.Hour

// ErrNoIssuer is returned for a name that is not one of the pretend issuers.
var ErrNoIssuer = errors.New("no such pretend issuer")

// Server is several pretend issuers on one address, told apart by path. Its
// keys live in a directory and are read anew for every request, so that another
// process may rotate them.
type Server struct {
	// Now is the time that the issuers go by: time.Now, unless it is replaced
	// before the server is used.
	Now func() time.Time

	dir, base string
	names     []string
	tls       *tls.Config
	ca        []byte
	changing  sync.Mutex
	providers map[string]*provider
}

// Open loads the issuers from dir, or makes them there. base is the address
// they are reached under, "https://host:port".
func Open(dir, base string, names ...string) (*Server, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	s := &Server{Now: time.Now, dir: dir, base: base, names: names, providers: map[string]*provider{}}
	var err error
	if s.ca, err = authority(dir); err != nil {
		return nil, err
	}
	if s.tls, err = s.serverTLS(); err != nil {
		return nil, err
	}
	for _, name := range names {
		s.providers[name] = newProvider(s, name)
		if _, err := os.Stat(s.keyFile(name)); errors.Is(err, os.ErrNotExist) {
			if err := s.Rotate(name); err != nil {
				return nil, err
			}
		} else if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// CAPEM is the certificate of the private CA that signed the server's.
func (s *Server) CAPEM() []byte { return s.ca }

// TLSConfig is for the server's listener.
func (s *Server) TLSConfig() *tls.Config { return s.tls }

// Name is an issuer's identifier.
func (s *Server) Name(issuer string) string { return s.base + "/" + issuer }

func (s *Server) keySet(name string) ([]byte, error) {
	held, err := s.keys(name)
	if err != nil {
		return nil, err
	}
	var published []trust.Key
	for _, k := range held {
		if !k.Withdrawn {
			published = append(published, trust.Key{KeyID: k.KeyID, Algorithm: k.Algorithm, Public: k.private.Public()})
		}
	}
	return jose.MarshalKeySet(published)
}

// sign signs claims with the issuer's newest key, also when it was withdrawn:
// that is what a thief of the key would do. iss, iat, exp and jti are filled in
// where claims has none; a nil value leaves the member out.
func (s *Server) sign(name, typ string, now time.Time, claims map[string]any) (string, error) {
	held, err := s.keys(name)
	if err != nil {
		return "", err
	}
	if len(held) == 0 {
		return "", fmt.Errorf("%s: %w: it has no key", name, ErrNoIssuer)
	}
	key := held[len(held)-1]
	filled := map[string]any{"iss": s.Name(name), "iat": now.Unix(), "exp": now.Add(Life).Unix(), "jti": random()}
	maps.Copy(filled, claims)
	maps.DeleteFunc(filled, func(_ string, value any) bool { return value == nil })
	payload, err := json.Marshal(filled)
	if err != nil {
		return "", fmt.Errorf("claims: %w", err)
	}
	header := jose.Header{Algorithm: key.Algorithm, Type: typ, KeyID: key.KeyID}
	if typ == typeVisa {
		header.JKU = s.Name(name) + "/jwks"
	}
	return jose.Sign(header, payload, key.private)
}

// random is 128 bits or a little more, as text.
func random() string {
	var b [18]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Rotate gives the issuer a new signing key beside those it has. RS256 and ES256
// take turns.
func (s *Server) Rotate(name string) error {
	return s.change(name, func(held []key) ([]key, error) {
		next, err := newKey(len(held))
		return append(held, next), err
	})
}

// Withdraw takes the issuer's newest key out of its key set.
func (s *Server) Withdraw(name string) error {
	return s.change(name, func(held []key) ([]key, error) {
		held[len(held)-1].Withdrawn = true
		return held, nil
	})
}

func (s *Server) keyFile(name string) string { return filepath.Join(s.dir, name+".keys.json") }

// key is a signing key as it is stored.
type key struct {
	KeyID     string `json:"kid"`
	Algorithm string `json:"alg"`
	Private   []byte `json:"pkcs8"`
	Withdrawn bool   `json:"withdrawn,omitempty"`

	private crypto.Signer
}
