package members

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/candignode/candignode/trust"
)

// Genesis is what a network began with. All its members have the same: its digest is in
// everything that they sign.
type Genesis struct {
	Name     string         `json:"name"`
	Founders []trust.SiteID `json:"founders"` // sorted; none: a network of those whom each operator names
	Rule     int            `json:"rule"`     // endorsements that admit a site
}

// ErrGenesis is wrapped by what is wrong with the beginning of a network.
var ErrGenesis = errors.New("not the beginning of a network")

var networkName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)

// NewGenesis makes the beginning of a network.
func NewGenesis(name string, founders ...trust.SiteID) (Genesis, error) {
	g := Genesis{Name: name, Founders: slices.Compact(slices.Sorted(slices.Values(founders))), Rule: Endorsements}
	if g.Founders == nil {
		g.Founders = []trust.SiteID{}
	}
	return g, g.Check()
}

// Check says what is wrong with a genesis that came from outside.
func (g Genesis) Check() error {
	if len(g.Name) > maxNetworkName || !networkName.MatchString(g.Name) {
		return fmt.Errorf("%w: %.80q is not the name of a network: 1 to %d of a-z, 0-9, '.' and '-'", ErrGenesis, g.Name, maxNetworkName)
	}
	if len(g.Founders) > maxFounders || !slices.IsSorted(g.Founders) || len(slices.Compact(slices.Clone(g.Founders))) != len(g.Founders) {
		return fmt.Errorf("%w: its founders are more than %d, or not sorted", ErrGenesis, maxFounders)
	}
	for _, f := range g.Founders {
		if _, err := trust.ParseSiteID(string(f)); err != nil {
			return fmt.Errorf("%w: a founder: %w", ErrGenesis, err)
		}
	}
	if g.Rule != Endorsements {
		return fmt.Errorf("%w: it admits with %d endorsements; this version knows %d", ErrGenesis, g.Rule, Endorsements)
	}
	return nil
}

// Network gives the NetworkID: unpadded base64url of the SHA-256 of the genesis, 43
// characters (trust-protocol.md, section 4).
func (g Genesis) Network() string {
	// The order of members is that of the struct, and Check left nothing that has two
	// spellings.
	body, err := json.Marshal(g)
	if err != nil {
		return "" // strings and a number always encode
	}
	sum := sha256.Sum256(append([]byte("candignode genesis\x00"), body...))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
