package gossip

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
)

var (
	convergeSites = flag.Int("converge-sites", 50, "how many sites start at once at most in TestConvergence: 5, 50 or 500")
	convergeHeads = flag.Int("converge-heads", 10, "how many heads are said one after the other in TestConvergence")
)

// Sites that all start at once find each other, and then one new head reaches all of them: the figures of docs/simulation.md. memberlist, its
// queue and this package are real; the connections are not: a packet takes 5 to 40 ms or is lost, and every pinned node is reachable at
// once. What gossip loses the comparison of every 20 s brings; here nothing does.
func TestConvergence(t *testing.T) {
	for _, sites := range []int{5, 50, 500} {
		for _, loss := range []float64{0, 0.2} {
			t.Run(fmt.Sprintf("%d sites, %.0f percent lost", sites, loss*100), func(t *testing.T) {
				if sites > *convergeSites {
					t.Skip("it takes minutes: -converge-sites 500")
				}
				synctest.Test(t, func(t *testing.T) { converge(t, sites, loss) })
			})
		}
	}
}

func converge(t *testing.T, sites int, loss float64) {
	h := newHub(loss)
	pins := make([]trust.NodeID, sites)
	for i := range pins {
		pins[i] = idOf(t, fmt.Sprint(i))
	}
	// Within half a second, so that not all of them gossip at the same moments.
	nodes := make([]*node, sites)
	for i := range nodes {
		time.Sleep(rand.N(time.Second / time.Duration(sites)))
		nodes[i] = start(t, h, fmt.Sprint(i), pins)
	}
	defer stopAll(nodes)
	joined := untilEvery(t, 100*time.Millisecond, 10*time.Minute, "everybody sees everybody", func() bool {
		return !slices.ContainsFunc(nodes, func(n *node) bool { return n.alive() < sites-1 })
	})
	// What it costs when nothing happens, once the news of who is there has gone around.
	time.Sleep(30 * time.Second)
	before := h.sent.Load()
	time.Sleep(30 * time.Second)
	quiet := float64(h.sent.Load()-before) / 30 / float64(sites)
	var took []time.Duration
	for i := range *convergeHeads {
		head := fmt.Sprintf("head %d %s", i, strings.Repeat("x", 480))
		nodes[rand.IntN(sites)].say(head)
		took = append(took, untilEvery(t, 10*time.Millisecond, 20*time.Second, "all have heard it", allHave(nodes, head)))
		time.Sleep(3 * time.Second)
	}
	slices.Sort(took)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	t.Logf("all alive in %s; a head reached all in p50 %s, p99 %s, the slowest of %d in %s; quiet %.0f B/s sent per node; heap %d KiB per node",
		joined, took[len(took)/2], took[min(len(took)*99/100, len(took)-1)], len(took), took[len(took)-1], quiet, m.HeapAlloc/1024/uint64(sites))
}

// alive is how many other nodes n thinks alive.
func (n *node) alive() int {
	n.Gossip.mu.Lock()
	defer n.Gossip.mu.Unlock()
	count := 0
	for _, state := range n.view {
		if state == Alive {
			count++
		}
	}
	return count
}
