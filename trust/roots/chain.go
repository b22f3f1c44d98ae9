package roots

import (
	"maps"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
)

// Chain is one site's records from the first to the newest, each verified against the
// one before. It is immutable.
type Chain struct {
	id    trust.SiteID
	steps []step
}

type step struct {
	Record
	signed Signed
	digest trust.Digest
}

// Open verifies records from the first on. It looks at no clock. Errors wrap ErrRecord.
func Open(records []Signed) (*Chain, error) {
	if len(records) == 0 {
		return nil, refuse("there is none")
	}
	if len(records) > MaxChain {
		return nil, refuse("a chain of %d; at most %d are taken", len(records), MaxChain)
	}
	size := 0
	for _, r := range records {
		if size += len(r); size > MaxChainBytes {
			return nil, refuse("a chain of more than %d bytes", MaxChainBytes)
		}
	}
	c, err := openFirst(records[0])
	if err != nil {
		return nil, err
	}
	for _, r := range records[1:] {
		before := len(c.steps)
		if c, err = c.Append(r); err != nil {
			return nil, err
		}
		// A chain is shown without what a rotation left behind, so that a site has one
		// chain and not many spellings of it.
		if len(c.steps) != before+1 {
			return nil, refuse("it holds records that its own rotation left behind")
		}
	}
	return c, nil
}

// openFirst verifies an inception record: the keys that sign it are those that it names.
func openFirst(signed Signed) (*Chain, error) {
	claimed, err := claimedRoots(signed)
	if err != nil {
		return nil, err
	}
	r, signers, err := signed.open(claimed)
	switch {
	case err != nil:
		return nil, err
	case r.Site != "" || r.Epoch != 1 || r.Update != 0 || !r.Prev.IsZero():
		return nil, refuse("the first record of a site names no site and none before it, and stands at (1,0)")
	case r.Left:
		return nil, refuse("a site cannot begin by leaving")
	case len(signers) < r.Threshold:
		return nil, refuse("%d of its root keys signed it; it asks for %d", len(signers), r.Threshold)
	}
	payload := signed.payloadOf()
	return &Chain{trust.SiteIDOf(payload), []step{{r, signed, trust.DigestOf(payload)}}}, nil
}

// Append verifies the next record and gives the chain with it. A rotation may follow any
// record of the newest epoch, and leaves the later ones behind.
func (c *Chain) Append(signed Signed) (*Chain, error) {
	last := c.last()
	claimed, err := claimedRoots(signed)
	if err != nil {
		return nil, err
	}
	// Only keys that the chain has committed to are looked at: those of today, and those
	// whose digests stand in some record of this epoch.
	known := slices.Clone(last.Roots)
	for _, k := range claimed {
		if !slices.Contains(known, k) && c.commits(k.ID()) {
			known = append(known, k)
		}
	}
	r, signers, err := signed.open(known)
	if err != nil {
		return nil, err
	}
	if r.Site != c.id {
		return nil, refuse("it is one of site %.60q, not of %s", r.Site, c.id)
	}
	keep := len(c.steps)
	switch {
	case r.Epoch == last.Epoch:
		err = c.checkUpdate(last, r, signers)
	case r.Epoch == last.Epoch+1:
		keep, err = c.checkRotation(r, signers)
	default:
		err = refuse("(%d,%d) cannot follow (%d,%d)", r.Epoch, r.Update, last.Epoch, last.Update)
	}
	if err != nil {
		return nil, err
	}
	if keep+1 > MaxChain {
		return nil, refuse("a chain of %d; at most %d are taken", keep+1, MaxChain)
	}
	payload := signed.payloadOf()
	steps := append(slices.Clone(c.steps[:keep]), step{r, signed, trust.DigestOf(payload)})
	return &Chain{c.id, steps}, nil
}

func (c *Chain) checkUpdate(last step, r Record, signers []Key) error {
	switch {
	case r.Update != last.Update+1 || r.Prev != last.digest:
		return refuse("the update (%d,%d) does not follow (%d,%d) that is held", r.Epoch, r.Update, last.Epoch, last.Update)
	case !slices.Equal(r.Roots, last.Roots) || r.Threshold != last.Threshold ||
		!slices.Equal(r.Next, last.Next) || r.NextThreshold != last.NextThreshold:
		return refuse("an update cannot change root keys: that takes a rotation")
	case last.Left:
		return refuse("the site has left")
	}
	return signedBy(signers, last.Roots, last.Threshold)
}

// checkRotation gives how many records stay before the rotation.
func (c *Chain) checkRotation(r Record, signers []Key) (keep int, err error) {
	newest := c.last().Epoch
	i := slices.IndexFunc(c.steps, func(s step) bool { return s.Epoch == newest && s.digest == r.Prev })
	if i < 0 {
		return 0, refuse("the rotation to epoch %d follows no record of epoch %d that is held", r.Epoch, newest)
	}
	before := c.steps[i]
	if r.Update != 0 {
		return 0, refuse("a rotation begins its epoch at 0, not at %d", r.Update)
	}
	for _, k := range r.Roots {
		if !slices.Contains(before.Next, k.ID()) {
			return 0, refuse("a root key of epoch %d was not committed to before", r.Epoch)
		}
	}
	if err := signedBy(signers, r.Roots, before.NextThreshold); err != nil {
		return 0, err
	}
	return i + 1, signedBy(signers, r.Roots, r.Threshold)
}

func signedBy(signers, roots []Key, threshold int) error {
	n := 0
	for _, k := range signers {
		if slices.Contains(roots, k) {
			n++
		}
	}
	if n < threshold {
		return refuse("%d of the root keys that may sign it did; %d must", n, threshold)
	}
	return nil
}

// commits tells whether a record of the newest epoch named this key as one to come.
func (c *Chain) commits(id trust.NodeID) bool {
	newest := c.last().Epoch
	return slices.ContainsFunc(c.steps, func(s step) bool { return s.Epoch == newest && slices.Contains(s.Next, id) })
}

func (c *Chain) last() step { return c.steps[len(c.steps)-1] }

// ID names the site.
func (c *Chain) ID() trust.SiteID { return c.id }

// Record gives the newest record. Its slices and maps must not be changed.
func (c *Chain) Record() Record { return c.last().Record }

// Digest is the newest record's.
func (c *Chain) Digest() trust.Digest { return c.last().digest }

// Newest gives the newest record as it was signed.
func (c *Chain) Newest() Signed { return c.last().signed }

// Records gives all records as they were signed, the first one first.
func (c *Chain) Records() []Signed {
	records := make([]Signed, len(c.steps))
	for i, s := range c.steps {
		records[i] = s.signed
	}
	return records
}

// At gives the record at a place, and false if the chain has none there.
func (c *Chain) At(epoch, update int64) (Record, bool) {
	i := slices.IndexFunc(c.steps, func(s step) bool { return s.Epoch == epoch && s.Update == update })
	if i < 0 {
		return Record{}, false
	}
	return c.steps[i].Record, true
}

// DigestAt gives the digest of the record at a place, and false if the chain has none there.
func (c *Chain) DigestAt(epoch, update int64) (trust.Digest, bool) {
	i := slices.IndexFunc(c.steps, func(s step) bool { return s.Epoch == epoch && s.Update == update })
	if i < 0 {
		return trust.Digest{}, false
	}
	return c.steps[i].digest, true
}

// HasNode tells whether any record of the chain, old or new, names the node: a pin that
// an operator wrote down stays good when the node's key is replaced.
func (c *Chain) HasNode(id trust.NodeID) bool {
	return slices.ContainsFunc(c.steps, func(s step) bool { _, ok := s.NodeKey(id); return ok })
}

// NodeKey gives the key of a node of the site, by this record.
func (r Record) NodeKey(id trust.NodeID) (Key, bool) {
	i := slices.IndexFunc(r.Nodes, func(n Node) bool { return n.ID == id })
	if i < 0 {
		return Key{}, false
	}
	return r.Nodes[i].Key, true
}

// NodeIDs gives the nodes of the site, by this record.
func (r Record) NodeIDs() []trust.NodeID {
	ids := make([]trust.NodeID, len(r.Nodes))
	for i, n := range r.Nodes {
		ids[i] = n.ID
	}
	return ids
}

// next begins the record that would follow this one.
func (s step) next(id trust.SiteID, now time.Time) Record {
	r := s.Record
	r.Site, r.Prev = id, s.digest
	r.Nodes, r.Issuers, r.ClientIDs = slices.Clone(r.Nodes), slices.Clone(r.Issuers), maps.Clone(r.ClientIDs)
	r.Issued, r.Expires = now.Unix(), now.Add(defaultLife).Unix()
	return r
}
