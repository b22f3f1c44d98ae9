package vectors_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// file is one file of the corpus. README.md documents every member.
type file struct {
	Section string   `json:"section"`
	About   string   `json:"about"`
	Now     int64    `json:"now"`
	Vectors []vector `json:"vectors"`
}

// vector is one request and what must become of it.
type vector struct {
	ID            string  `json:"id"`
	Title         string  `json:"title"`
	Rows          []int   `json:"rows,omitempty"`
	Kind          kind    `json:"kind"`
	Configuration string  `json:"configuration,omitempty"`
	Request       request `json:"request"`
	Expect        expect  `json:"expect"`
	Note          string  `json:"note,omitempty"`
	// CoveredBy names the tests of this project that hold it, for what cannot be
	// written as data.
	CoveredBy []string `json:"covered_by,omitempty"`
}

type kind string

const (
	kindPassports kind = "passports"
	kindToken     kind = "token"
	kindProof     kind = "proof"
	kindKeySet    kind = "key_set"
	kindClaims    kind = "claims"
	kindHTTP      kind = "http"
	kindBehaviour kind = "behaviour"
)

// request has the members of the vector's kind and no others.
type request struct {
	Passports []text    `json:"passports,omitempty"`
	Origin    string    `json:"origin,omitempty"`
	Proven    *proven   `json:"proven,omitempty"`
	Token     *tokenIn  `json:"token,omitempty"`
	Proof     *proofIn  `json:"proof,omitempty"`
	KeySet    *keySetIn `json:"key_set,omitempty"`
	Claims    *claimsIn `json:"claims,omitempty"`
	HTTP      *httpIn   `json:"http,omitempty"`
}

type proven struct {
	JKT string `json:"jkt,omitempty"`
	X5T string `json:"x5t#S256,omitempty"`
}

// tokenIn is a JWT that is neither passport nor visa, and what it is shown as.
type tokenIn struct {
	As       string   `json:"as"`
	Compact  text     `json:"compact"`
	Issuer   string   `json:"issuer,omitempty"`
	Audience []string `json:"audience,omitempty"`
	Nonce    string   `json:"nonce,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
}

type proofIn struct {
	DPoP        []string `json:"dpop"`
	Method      string   `json:"method"`
	URL         string   `json:"url"`
	AccessToken string   `json:"access_token,omitempty"`
	Again       bool     `json:"again,omitempty"`
}

type keySetIn struct {
	Text  text `json:"text"`
	Waive bool `json:"waive_key_use,omitempty"`
}

type claimsIn struct {
	Provider string            `json:"provider"`
	Response text              `json:"response"`
	Answers  map[string]string `json:"answers,omitempty"`
	Arrays   bool              `json:"arrays,omitempty"`
}

type httpIn struct {
	Method  string      `json:"method"`
	Path    string      `json:"path"`
	Headers [][2]string `json:"headers,omitempty"`
	Body    text        `json:"body,omitzero"`
}

type outcome string

const (
	accept outcome = "accept"
	refuse outcome = "refuse"
	other  outcome = "described"
)

type expect struct {
	Outcome outcome      `json:"outcome"`
	Reason  string       `json:"reason,omitempty"`
	Status  int          `json:"status,omitempty"`
	Caller  *identity    `json:"caller,omitempty"`
	Linked  []identity   `json:"linked,omitempty"`
	Until   int64        `json:"until,omitempty"`
	Visas   []visaExpect `json:"visas,omitempty"`
	Keys    []string     `json:"usable_keys,omitempty"`
	Found   []string     `json:"found,omitempty"`
	Absent  []string     `json:"absent,omitempty"`
	Asked   []string     `json:"asked,omitempty"`
	Nonce   bool         `json:"use_nonce,omitempty"`
}

type identity struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

type visaExpect struct {
	Accepted bool   `json:"accepted"`
	Reason   string `json:"reason,omitempty"`
}

// text is a string, or the recipe of one that is too large to be written out.
type text struct{ parts []part }

type part struct {
	Text  string `json:"repeat"`
	Times int    `json:"times"`
}

func plain(s string) text { return text{[]part{{s, 1}}} }

func plains(all ...string) []text {
	texts := make([]text, len(all))
	for i, s := range all {
		texts[i] = plain(s)
	}
	return texts
}

func (t text) IsZero() bool { return len(t.parts) == 0 }

// expand gives the whole string.
func (t text) expand() string {
	var b strings.Builder
	for _, p := range t.parts {
		for range p.Times {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) {
	if len(t.parts) == 1 && t.parts[0].Times == 1 {
		return marshal(t.parts[0].Text)
	}
	var all []any
	for _, p := range t.parts {
		if p.Times == 1 {
			all = append(all, p.Text)
		} else {
			all = append(all, p)
		}
	}
	return marshal(map[string]any{"concat": all})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*t = plain(s)
		return nil
	}
	var recipe struct {
		Concat []json.RawMessage `json:"concat"`
	}
	if err := strictly(data, &recipe); err != nil {
		return err
	}
	t.parts = nil
	for _, raw := range recipe.Concat {
		var p part
		if json.Unmarshal(raw, &s) == nil {
			p = part{s, 1}
		} else if err := strictly(raw, &p); err != nil {
			return err
		}
		t.parts = append(t.parts, p)
	}
	return nil
}

// strictly decodes and refuses members that this reader does not know: a typing
// mistake in a vector must not make it weaker.
func strictly(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("there is more after the value")
	}
	return nil
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// configuration is what a site trusts its issuers for: the keys of
// configs/candignode.yaml.
type configuration struct {
	About    string   `json:"about"`
	OwnNames []string `json:"own_names"`
	Issuers  []issuer `json:"issuers"`
}

type issuer struct {
	Issuer            string          `json:"issuer"`
	Kinds             []string        `json:"kinds"`
	Mode              string          `json:"mode"`
	JWKS              json.RawMessage `json:"jwks"`
	JKU               []string        `json:"jku,omitempty"`
	VisaTypes         []string        `json:"visa_types,omitempty"`
	Sources           []string        `json:"sources,omitempty"`
	ValuePrefixes     []string        `json:"value_prefixes,omitempty"`
	ClientIDs         []string        `json:"client_ids,omitempty"`
	PeerClientIDs     []siteIDs       `json:"peer_client_ids,omitempty"`
	AcceptUnboundFrom []string        `json:"accept_unbound_from,omitempty"`
	RequireAud        bool            `json:"require_aud,omitempty"`
	AllowMissingKID   bool            `json:"allow_missing_kid,omitempty"`
	WaiveKeyUse       bool            `json:"waive_key_use,omitempty"`
	LinksFor          []string        `json:"links_for,omitempty"`
	MaxAssertedAge    int64           `json:"max_asserted_age,omitempty"`
	AccessTokenVisas  bool            `json:"access_token_visas,omitempty"`
	Tokens            string          `json:"tokens,omitempty"`
	ScopeArray        bool            `json:"scope_array,omitempty"`
	UserInfo          string          `json:"userinfo_endpoint,omitempty"`
	ClaimEndpoints    []string        `json:"claim_endpoints,omitempty"`
	ClaimNames        []string        `json:"claim_names,omitempty"`
}

type siteIDs struct {
	Site      string   `json:"site"`
	ClientIDs []string `json:"client_ids"`
}

// The committed files besides those of vectors.
const (
	keysFile           = "keys.json"
	configurationsFile = "configurations.json"
)

// load reads the committed corpus.
func load() (files map[string]file, configurations map[string]configuration, err error) {
	data, err := os.ReadFile(configurationsFile)
	if err != nil {
		return nil, nil, err
	}
	if err := strictly(data, &configurations); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", configurationsFile, err)
	}
	names, err := filepath.Glob("[0-9]*.json")
	if err != nil {
		return nil, nil, err
	}
	files = map[string]file{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, err
		}
		var f file
		if err := strictly(data, &f); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = f
	}
	return files, configurations, nil
}

// all gives the vectors of some kinds in order.
func all(files map[string]file, kinds ...kind) []vector {
	var vectors []vector
	for _, f := range files {
		for _, v := range f.Vectors {
			if slices.Contains(kinds, v.Kind) {
				vectors = append(vectors, v)
			}
		}
	}
	slices.SortFunc(vectors, func(a, b vector) int { return strings.Compare(a.ID, b.ID) })
	return vectors
}
