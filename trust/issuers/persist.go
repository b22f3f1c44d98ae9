package issuers

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// The keys under which evidence is stored. One value is one author, or one
// issuer, so a step writes few of them and a reader needs no index.
const (
	keyOwn      = "own"
	keyFloor    = "floor"
	keyRevision = "revision"
	keySaid     = "believed"
	keyTombs    = "tombs"
	keyAccepted = "accepted/" // + issuer
	keyAuthor   = "author/"   // + site
	keyFetch    = "fetch/"    // + issuer
	keyBlob     = "blob/"     // + digest
)

// storedAuthor is an author on disk: the signed bytes, verified again when read.
type storedAuthor struct {
	Node    trust.NodeID `json:"node"`
	Key     string       `json:"key"`
	Bundle  *wireBundle  `json:"bundle,omitempty"`
	History []string     `json:"history"`
	Fork    []string     `json:"fork,omitempty"`  // two heads
	Tombs   []string     `json:"tombs,omitempty"` // relics
}

// storedOwn is this site's own place.
type storedOwn struct {
	Node   trust.NodeID `json:"node,omitempty"`
	Net    string       `json:"net,omitempty"`
	Bundle *wireBundle  `json:"bundle,omitempty"`
	Raise  int64        `json:"raise,omitempty"`  // the next head must be of at least this epoch
	Beyond int64        `json:"beyond,omitempty"` // and above this version
}

type storedFetch struct {
	At        int64            `json:"at"`
	HomeSite  trust.SiteID     `json:"home,omitempty"`
	JWKSURI   string           `json:"jwks_uri,omitempty"`
	Metadata  trust.Digest     `json:"meta"`
	Discovery Document         `json:"discovery"`
	Sets      []Document       `json:"sets"`
	Since     map[string]int64 `json:"since"`
}

// encode is for values made here, which always encode.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return nil // strings, integers and maps of them always encode
	}
	return b
}

func encodeNumber(n uint64) []byte { return encode(n) }

// saveAuthor writes all of one author in one value: its place, its records and its fork
// are true together or not at all.
func (d *draft) saveAuthor(a *author) {
	stored := storedAuthor{Node: a.node, Key: base64.RawURLEncoding.EncodeToString(a.key)}
	if a.bundle != nil {
		stored.Bundle = &a.bundle.records
	}
	for _, h := range a.history {
		stored.History = append(stored.History, string(h.envelope))
	}
	if a.fork != nil {
		stored.Fork = []string{string(a.fork.a.envelope), string(a.fork.b.envelope)}
	}
	stored.Tombs = envelopesOf(a.relics)
	d.save[keyAuthor+string(a.site)] = encode(stored)
}

// saveFetch writes the documents and not the keys: which keys they hold is the policy's
// to say, and the policy may be another one at the next start.
func (d *draft) saveFetch(issuer string, f fetchState) {
	stored := storedFetch{At: f.at.Unix(), HomeSite: f.HomeSite, JWKSURI: f.JWKSURI, Metadata: f.Metadata,
		Discovery: f.Discovery, Sets: f.Sets, Since: map[string]int64{}}
	for print, t := range f.since {
		stored.Since[print] = t.Unix()
	}
	d.save[keyFetch+issuer] = encode(stored)
}

// raiseFloor keeps evaluation time from falling behind what a verified head of
// another site said. Own clocks do not raise it: one wrong hour would last.
func (d *draft) raiseFloor(t time.Time) {
	if t.After(d.floor) && !t.After(d.now.Add(skew)) {
		d.floor = t
		d.save[keyFloor] = encode(t.Unix())
	}
}

// load fills a draft from the store. What was signed is verified again: the
// file may be another node's, or broken. An author that does not verify is left out
// with an alarm, because gossip brings it back; anything of this site's own that
// does not is an error, because nobody else has it.
func (d *draft) load(key string, value []byte, self pin) error {
	var err error
	var number int64
	switch {
	case key == keyOwn:
		err = d.loadOwn(value, self)
	case key == keyFloor:
		if err = jose.Unmarshal(value, &number); err == nil {
			d.floor = time.Unix(number, 0).UTC()
		}
	case key == keyRevision:
		var ceiling uint64
		if err = jose.Unmarshal(value, &ceiling); err == nil {
			// Starting at the bound and not at the last one used costs nothing but a gap.
			d.revision, d.ceiling = ceiling, ceiling
		}
	case key == keySaid:
		err = jose.Unmarshal(value, &d.said)
	case strings.HasPrefix(key, keyAccepted):
		var set accepted
		err = jose.Unmarshal(value, &set)
		d.accepted[strings.TrimPrefix(key, keyAccepted)] = set
	case key == keyTombs:
		err = jose.Unmarshal(value, &d.tombs)
	case strings.HasPrefix(key, keyAuthor):
		site := trust.SiteName(strings.TrimPrefix(key, keyAuthor))
		// The name comes from the entry's key and not from its value: evidence that
		// stands under another site's name is that of nobody.
		a, bad := loadAuthor(value, self.network, site)
		if bad != nil {
			d.lostEvidence = append(d.lostEvidence, bounded(fmt.Sprintf("stored evidence of site %s is unreadable and was left out: %v", site, bad)))
			return nil
		}
		d.authors[site] = a
	case strings.HasPrefix(key, keyBlob):
		// What was bent on the disk is nobody's: it is pulled again.
		if blob := trust.DigestOf(value); keyBlob+blob.String() == key {
			d.blobs[blob] = value
		} else {
			d.save[key] = nil
		}
	case strings.HasPrefix(key, keyFetch):
		err = d.loadFetch(strings.TrimPrefix(key, keyFetch), value)
	}
	if err != nil {
		return fmt.Errorf("stored evidence %.200q: %w (restore a backup of the state file, or move it away to start afresh)", key, err)
	}
	return nil
}

// loadOwn reads what this site last said. What another node said, before the site replaced its
// key, or in another network, is left behind: there this node has said nothing yet, and to go
// on from another's place would be a fork.
func (d *draft) loadOwn(value []byte, self pin) error {
	var stored storedOwn
	if err := jose.Unmarshal(value, &stored); err != nil {
		return err
	}
	if stored.Node != "" && stored.Node != self.node || stored.Net != "" && stored.Net != self.net() {
		return nil
	}
	d.own = ownHistory{raise: stored.Raise, beyond: stored.Beyond}
	if stored.Bundle == nil {
		return nil
	}
	b, _, err := stored.Bundle.verify(self, nil)
	if err != nil {
		return fmt.Errorf("this site's own head: %w; was the node key, the site's name or the network changed?", err)
	}
	d.own.bundle = b
	return nil
}

func (d *draft) loadFetch(issuer string, value []byte) error {
	var stored storedFetch
	if err := jose.Unmarshal(value, &stored); err != nil {
		return err
	}
	f := fetchState{at: time.Unix(stored.At, 0).UTC(), since: map[string]time.Time{}}
	f.HomeSite = stored.HomeSite
	f.JWKSURI, f.Metadata, f.Discovery, f.Sets = stored.JWKSURI, stored.Metadata, stored.Discovery, stored.Sets
	for print, t := range stored.Since {
		f.since[print] = time.Unix(t, 0).UTC()
	}
	d.fetches[issuer] = f // its keys are derived when the policy is known
	return nil
}

// loadAuthor reads one author and verifies every signature again. A file that was copied
// from another network, or bent, gives an error and never an author.
func loadAuthor(value []byte, network string, site trust.SiteName) (*author, error) {
	var stored storedAuthor
	if err := jose.Unmarshal(value, &stored); err != nil {
		return nil, err
	}
	key, err := base64.RawURLEncoding.Strict().DecodeString(stored.Key)
	if err != nil {
		return nil, err
	}
	a := &author{pin: pin{network, site, stored.Node}, key: key}
	if stored.Bundle != nil {
		if a.bundle, _, err = stored.Bundle.verify(a.pin, nil); err != nil {
			return nil, err
		}
	}
	if a.history, err = openHeads(stored.History, a.pin, key); err != nil {
		return nil, err
	}
	if len(stored.Fork) > 0 {
		if a.fork, err = openFork(stored.Fork, a.pin, key); err != nil {
			return nil, err
		}
	}
	if a.relics, err = openRelics(stored.Tombs, a.pin, key); err != nil {
		return nil, err
	}
	if a.bundle == nil && a.fork == nil {
		return nil, errors.New("it holds neither records nor a fork")
	}
	// The order is part of what history means, and a file does not promise it.
	slices.SortFunc(a.history, func(x, y signedHead) int { return y.compare(x.Head) })
	return a, nil
}
