package protocol

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// The forms of trust-protocol.md, section 6, written down here once more: a liar writes what
// it likes, and a checker must not read with the code that it checks.

type wire struct {
	Of      trust.NodeID `json:"of"`
	Site    string       `json:"site"`
	Head    string       `json:"head"`
	Records []string     `json:"records"`
}

type head struct {
	Net     string       `json:"net"`
	Epoch   int64        `json:"e"`
	Update  int64        `json:"u"`
	Version int64        `json:"ver"`
	Prev    trust.Digest `json:"prev"`
	Root    trust.Digest `json:"root"`
	Count   int          `json:"n"`
	Issued  int64        `json:"iat"`
	Expires int64        `json:"exp"`
}

type siteForm struct {
	Net       string              `json:"net"`
	Site      string              `json:"site"`
	Node      trust.NodeID        `json:"node"`
	Key       string              `json:"key"`
	ClientIDs map[string][]string `json:"client_ids"`
	Epoch     int64               `json:"e"`
	Update    int64               `json:"u"`
	Issued    int64               `json:"iat"`
	Expires   int64               `json:"exp"`
}

type observation struct {
	Net      string       `json:"net"`
	Issuer   string       `json:"iss"`
	JWKSURI  string       `json:"jwks_uri"`
	Metadata trust.Digest `json:"meta"`
	Keys     []string     `json:"keys"`
	At       int64        `json:"at"`
}

type tombstone struct {
	Net    string `json:"net"`
	Issuer string `json:"iss"`
	Key    string `json:"key"`
	Reason string `json:"reason"`
	At     int64  `json:"at"`
	Until  int64  `json:"until"`
}

const network = "simulated"

func netOf(node trust.NodeID) string {
	sum := sha256.Sum256([]byte("candignode network\x00" + network + "\x00" + string(node)))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

func rootOf(envelopes ...string) trust.Digest {
	var all []trust.Digest
	for _, e := range envelopes {
		all = append(all, trust.DigestOf([]byte(e)))
	}
	slices.SortFunc(all, func(a, b trust.Digest) int { return bytes.Compare(a[:], b[:]) })
	h := sha256.New()
	h.Write([]byte("candignode records\x00"))
	for _, d := range all {
		h.Write(d[:])
	}
	return trust.Digest(h.Sum(nil))
}

// payload reads what an envelope says, unverified.
func payload(envelope string, to any) bool {
	parts := strings.Split(envelope, ".")
	if len(parts) != 3 {
		return false
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	return err == nil && json.Unmarshal(b, to) == nil
}

// signerOf reads the kid of an envelope.
func signerOf(envelope string) string {
	first, _, _ := strings.Cut(envelope, ".")
	b, _ := base64.RawURLEncoding.DecodeString(first)
	var h struct {
		Kid string `json:"kid"`
	}
	_ = json.Unmarshal(b, &h)
	return h.Kid
}

func typeOf(envelope string) string {
	first, _, _ := strings.Cut(envelope, ".")
	b, _ := base64.RawURLEncoding.DecodeString(first)
	var h struct {
		Typ string `json:"typ"`
	}
	_ = json.Unmarshal(b, &h)
	return h.Typ
}

// identity is a site with its key.
type identity struct {
	name trust.SiteName
	key  ed25519.PrivateKey
	node trust.NodeID
	site trust.SiteID
}

// identities are made once: to make a key takes longer than to run a minute of a scenario.
var identities sync.Map

func newIdentity(name string) identity {
	if id, ok := identities.Load(name); ok {
		return id.(identity)
	}
	id := makeIdentity(name)
	identities.Store(name, id)
	return id
}

func makeIdentity(name string) identity {
	seed := sha256.Sum256([]byte("simulated node " + name))
	key := ed25519.NewKeyFromSeed(seed[:])
	node, _ := trust.NodeIDOf(key.Public())
	return identity{trust.SiteName(name), key, node, trust.SiteIDOf([]byte("simulated site " + name))}
}

// liar is a site with a real key and no scruples. What it says next, it says in a head that
// is well made, unless a lie about the head itself was asked for.
type liar struct {
	identity
	epoch, version int64
	prev           trust.Digest
	observes       map[string][]string // issuer: thumbprints
	twice          map[string]bool     // issuers that it observes two times in one head
	tombs          []string
	buried         []string        // all that it ever buried: a new epoch is taken only with them
	now            []wire          // its history, the newest last
	other          map[string]wire // what it shows to some askers instead of the newest
	extra          []wire          // lies that it adds to every answer
}

func newLiar(name string) *liar {
	return &liar{identity: newIdentity(name), epoch: 1, observes: map[string][]string{}, twice: map[string]bool{}, other: map[string]wire{}}
}

// sealed cannot fail: these are strings and integers, signed by an Ed25519 key.
func sealed(typ string, key ed25519.PrivateKey, v any) string {
	b, _ := jose.Seal(typ, key, v)
	return string(b)
}

// speakAs makes a bundle in the name of another site (or its own) by this liar's key.
func (l *liar) speakAs(as identity, now time.Time, change func(*head)) wire {
	key := base64.RawURLEncoding.EncodeToString(l.key.Public().(ed25519.PublicKey))
	w := wire{Of: as.node}
	w.Site = sealed("candig-site+jwt", l.key, siteForm{netOf(as.node), string(as.name), as.node, key, map[string][]string{}, l.epoch, 0,
		now.Unix() - 60, now.Unix() + 86400*30})
	for _, issuer := range slices.Sorted(maps2(l.observes)) {
		keys := slices.Sorted(slices.Values(l.observes[issuer]))
		o := observation{Net: netOf(as.node), Issuer: issuer, JWKSURI: issuer + "/jwks", Keys: keys, At: now.Unix() - 1}
		w.Records = append(w.Records, sealed("candig-obs+jwt", l.key, o))
		if l.twice[issuer] {
			o.At -= 5
			w.Records = append(w.Records, sealed("candig-obs+jwt", l.key, o))
		}
	}
	w.Records = append(w.Records, l.tombs...)
	h := head{Net: netOf(as.node), Epoch: l.epoch, Version: l.version + 1, Prev: l.prev, Root: rootOf(append([]string{w.Site}, w.Records...)...),
		Count: len(w.Records) + 1, Issued: now.Unix(), Expires: now.Unix() + 7200}
	if change != nil {
		change(&h)
	}
	w.Head = sealed("candig-head+jwt", l.key, h)
	return w
}

func maps2(m map[string][]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// say makes the liar's next head.
func (l *liar) say(now time.Time) {
	w := l.speakAs(l.identity, now, nil)
	l.version++
	l.prev = trust.DigestOf([]byte(w.Head))
	l.now = append(l.now, w)
	clear(l.other)
}

func (l *liar) bury(issuer, print string, now time.Time, life time.Duration) {
	l.buried = append(l.buried, sealed("candig-tomb+jwt", l.key, tombstone{netOf(l.node), issuer, print, "a reason", now.Unix(), now.Add(life).Unix()}))
	l.tombs = append(l.tombs, l.buried[len(l.buried)-1])
}

// answer is what whoever asks the liar gets.
func (l *liar) answer(asker string) []byte {
	var all struct {
		Bundles []wire `json:"bundles"`
	}
	if len(l.now) > 0 {
		w := l.now[len(l.now)-1]
		if o, ok := l.other[asker]; ok {
			w = o
		}
		all.Bundles = append(all.Bundles, w)
	}
	all.Bundles = append(all.Bundles, l.extra...)
	b, _ := json.Marshal(all)
	return b
}
