// Package idp is a pair of pretend issuers: OpenID providers with real keys, a
// discovery document and a key set over HTTPS, and passports and visas that verify.
// They sign whatever they are told to, which is what makes them pretend; nothing of
// the daemon uses them.
package idp

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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
	dir, base string
	names     []string
	tls       *tls.Config
	ca        []byte
	changing  sync.Mutex
}

// Open loads the issuers from dir, or makes them there. base is the address
// they are reached under, "https://host:port".
func Open(dir, base string, names ...string) (*Server, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	s := &Server{dir: dir, base: base, names: names}
	var err error
	if s.ca, err = authority(dir); err != nil {
		return nil, err
	}
	if s.tls, err = s.serverTLS(); err != nil {
		return nil, err
	}
	for _, name := range names {
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

// Handler serves each issuer's discovery document and key set.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, name := range s.names {
		issuer := s.Name(name)
		mux.HandleFunc("GET /"+name+"/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(map[string]any{
				"issuer": issuer, "jwks_uri": issuer + "/jwks",
				"authorization_endpoint": issuer + "/authorize", "token_endpoint": issuer + "/token",
				"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
				"id_token_signing_alg_values_supported": []string{"RS256", "ES256"},
			})
		})
		mux.HandleFunc("GET /"+name+"/jwks", func(w http.ResponseWriter, _ *http.Request) {
			body, err := s.keySet(name)
			if err != nil {
				http.Error(w, "the keys cannot be read", http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Write(body)
		})
	}
	return mux
}

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

// Grant is what a ControlledAccessGrants visa of the pretend committee says.
type Grant struct {
	Value  string
	Source string
}

// Researcher is whom a passport is for.
type Researcher struct {
	Subject  string
	Audience []string // client ids; empty: a passport without aud
	Visas    []Grant
}

// Passport signs a passport by the first of the server's issuers around visas by
// the last, valid from now for Life.
func (s *Server) Passport(r Researcher, now time.Time) (string, error) {
	broker, committee := s.names[0], s.names[len(s.names)-1]
	visas := []string{}
	for _, g := range r.Visas {
		visa, err := s.sign(committee, "vnd.ga4gh.visa+jwt", now, map[string]any{
			"sub": r.Subject, "scope": "ga4gh",
			"ga4gh_visa_v1": map[string]any{
				"type": trust.VisaControlledAccessGrants, "asserted": now.Add(-24 * time.Hour).Unix(),
				"value": g.Value, "source": g.Source, "by": "dac",
			},
		})
		if err != nil {
			return "", err
		}
		visas = append(visas, visa)
	}
	claims := map[string]any{"sub": r.Subject, "ga4gh_passport_v1": visas}
	if len(r.Audience) > 0 {
		claims["aud"] = r.Audience
	}
	return s.sign(broker, "vnd.ga4gh.passport+jwt", now, claims)
}

// sign signs claims with the issuer's newest key, also when it was withdrawn:
// that is what a thief of the key would do.
func (s *Server) sign(name, typ string, now time.Time, claims map[string]any) (string, error) {
	held, err := s.keys(name)
	if err != nil {
		return "", err
	}
	key := held[len(held)-1]
	var jti [12]byte
	rand.Read(jti[:])
	claims["iss"], claims["iat"], claims["exp"] = s.Name(name), now.Unix(), now.Add(Life).Unix()
	claims["jti"] = base64.RawURLEncoding.EncodeToString(jti[:])
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("claims: %w", err)
	}
	header := jose.Header{Algorithm: key.Algorithm, Type: typ, KeyID: key.KeyID}
	if typ == "vnd.ga4gh.visa+jwt" {
		header.JKU = s.Name(name) + "/jwks"
	}
	return jose.Sign(header, payload, key.private)
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
