package wire

import (
	"fmt"
	"testing"
	"time"
)

// Fifty sites start at the same moment and all dial each other over real QUIC, through a network that delays: within half a minute each
// has a line to every other and is answered on it, no site keeps more than two connections to another, and none of them goes on dialling.
func TestFiftySitesJoinAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("2,450 handshakes: not with -short")
	}
	const crowd = 50
	bubble(t, func(t *testing.T) {
		e := newEther(20 * time.Millisecond)
		sites, pins := make([]*site, crowd), make([]Peer, crowd)
		for i := range sites {
			sites[i] = e.place(t, fmt.Sprint("s", i), fmt.Sprintf("10.0.%d.1:1", i))
			pins[i] = sites[i].pin()
		}
		for i, s := range sites {
			others := append(append([]Peer{}, pins[:i]...), pins[i+1:]...)
			s.start(others...)
		}
		time.Sleep(30 * time.Second)
		for i, s := range sites {
			for j, other := range sites {
				if i == j {
					continue
				}
				if _, err := s.mesh.Line(other.id); err != nil {
					t.Errorf("after half a minute %s has no line to %s: %v", s.name, other.name, err)
				}
			}
			s.ask(sites[(i+1)%crowd])
			s.ask(sites[(i+crowd/2)%crowd])
		}
		dials := uint64(0)
		for _, s := range sites {
			st := s.mesh.Stats()
			if st.Connections > 2*(crowd-1) {
				t.Errorf("%s: %d connections to %d peers", s.name, st.Connections, crowd-1)
			}
			dials += uint64(st.Dials)
		}
		time.Sleep(time.Minute)
		for _, s := range sites {
			dials -= uint64(s.mesh.Stats().Dials)
		}
		if dials != 0 {
			t.Errorf("%d more dials in a quiet minute", -dials)
		}
	})
}
