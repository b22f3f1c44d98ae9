package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/hashicorp/memberlist"

	"github.com/candignode/candignode/trust"
)

// delegate is what memberlist calls. It does so under its own locks and from
// its packet loop: nothing here may block or call memberlist.
type delegate Gossip

// NodeMeta is empty: names are all that members tell each other.
func (d *delegate) NodeMeta(int) []byte { return nil }

// LocalState is empty: evidence is pulled over signed calls, not merged here.
func (d *delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState ignores what a peer sends although nothing is to be sent.
func (d *delegate) MergeRemoteState([]byte, bool) {}

// GetBroadcasts hands out what is to be passed on.
func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.queue.GetBroadcasts(overhead, limit)
}

// NotifyMsg hands a message up if there is room. memberlist reuses b.
func (d *delegate) NotifyMsg(b []byte) {
	if len(b) == 0 || len(b) > maxMessage {
		d.dropped.Add(1)
		return
	}
	select {
	case d.o.Heard <- slices.Clone(b):
		d.heard.Add(1)
	default:
		d.dropped.Add(1)
	}
}

var errNotMember = errors.New("not a pinned node at its own address")

// NotifyAlive lets in members only, each under the one address that belongs to
// its name. So a forged message can neither bring in a stranger nor move a name.
func (d *delegate) NotifyAlive(node *memberlist.Node) error {
	g := (*Gossip)(d)
	id := trust.NodeID(node.Name)
	if (id == g.o.Self || g.isMember(id)) && node.Port == port && node.Addr.Equal(address(id)) && len(node.Meta) == 0 {
		return nil
	}
	g.refused.Add(1)
	return fmt.Errorf("%.80q: %w", node.Name, errNotMember)
}

// NotifyJoin, NotifyLeave and NotifyUpdate keep the view for display.
func (d *delegate) NotifyJoin(node *memberlist.Node) { d.note(node, Alive) }

// NotifyLeave is called for the dead and for those who said that they leave.
func (d *delegate) NotifyLeave(node *memberlist.Node) { d.note(node, Dead) }

// NotifyUpdate tells of changed metadata; there is none.
func (d *delegate) NotifyUpdate(*memberlist.Node) {}

func (d *delegate) note(node *memberlist.Node, state State) {
	d.mu.Lock()
	d.view[trust.NodeID(node.Name)] = state
	d.mu.Unlock()
}

// broadcast is a message in memberlist's queue. Every message counts for itself:
// what is old news only the layer above can know.
type broadcast []byte

func (b broadcast) Message() []byte                       { return b }
func (b broadcast) Invalidates(memberlist.Broadcast) bool { return false }
func (b broadcast) Finished()                             {}
func (b broadcast) UniqueBroadcast()                      {}

// logWriter turns memberlist's log into debug lines; they quote what peers
// sent, so they are cut.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(line []byte) (int, error) {
	if w.log.Enabled(context.Background(), slog.LevelDebug) {
		text := bytes.TrimSpace(line)
		w.log.Debug("memberlist", "text", fmt.Sprintf("%q", text[:min(len(text), maxLogText)]))
	}
	return len(line), nil
}
