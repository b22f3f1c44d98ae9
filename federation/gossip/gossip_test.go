package gossip

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
)

func TestSevenNodesFindEachOtherAndHearEverything(t *testing.T) {
	for name, loss := range map[string]float64{"a good network": 0, "one packet in five lost": 0.2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := network(t, newHub(loss), 7)
				defer stopAll(nodes)
				took := until(t, time.Minute, "everybody sees everybody", allAlive(nodes))
				t.Logf("found each other in %s", took)
				for _, message := range []string{"first head", "second head"} {
					nodes[0].say(message)
					took = until(t, 20*time.Second, "all hear "+message, allHave(nodes, message))
					t.Logf("%s heard in %s", message, took)
				}
			})
		})
	}
}

// A partition far longer than memberlist remembers the dead.
func TestAPartitionOfTenMinutesHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(0)
		nodes := network(t, h, 6)
		defer stopAll(nodes)
		until(t, time.Minute, "everybody sees everybody", allAlive(nodes))

		sides := map[trust.NodeID]int{nodes[0].id: 1, nodes[1].id: 1}
		h.divide(sides)
		time.Sleep(10 * time.Minute)
		if nodes[0].sees(nodes[5]) != Dead || nodes[5].sees(nodes[0]) != Dead {
			t.Errorf("after ten minutes the other side is %s and %s", nodes[0].sees(nodes[5]), nodes[5].sees(nodes[0]))
		}
		if nodes[0].sees(nodes[1]) != Alive || nodes[5].sees(nodes[2]) != Alive {
			t.Error("the own side is not alive")
		}
		nodes[0].say("said on the small side")
		time.Sleep(time.Minute)
		if nodes[5].has("said on the small side") {
			t.Fatal("the partition leaks")
		}

		h.divide(nil)
		took := until(t, 2*time.Minute, "everybody sees everybody again", allAlive(nodes))
		t.Logf("healed in %s", took)
		nodes[0].say("said after healing")
		until(t, 20*time.Second, "all hear it", allHave(nodes, "said after healing"))
	})
}

func TestANodeThatLeavesIsDeadAtOnceAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(0)
		nodes := network(t, h, 5)
		until(t, time.Minute, "everybody sees everybody", allAlive(nodes))
		nodes[4].cancel()
		<-nodes[4].done
		took := until(t, 10*time.Second, "the others see it leave", func() bool { return nodes[0].sees(nodes[4]) == Dead && nodes[3].sees(nodes[4]) == Dead })
		t.Logf("seen after %s", took)

		nodes[4] = start(t, h, "4", nodes[0].pins)
		defer stopAll(nodes)
		took = until(t, time.Minute, "it is back", allAlive(nodes))
		t.Logf("back after %s", took)
	})
}

// The first hop is all that memberlist does: what nobody passes on again reaches
// only those whom the sender happened to choose, never with certainty all. The
// layer above relies on hearing each message at least once per sender, and on
// nothing else.
func TestWhatIsHeardIsWhatWasSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := network(t, newHub(0), 2)
		defer stopAll(nodes)
		until(t, time.Minute, "they see each other", allAlive(nodes))
		largest := string(bytes.Repeat([]byte{0xff, 0x00}, maxMessage/2))
		for _, message := range []string{"x", largest} {
			nodes[0].say(message)
			until(t, 20*time.Second, "it is heard unchanged", allHave(nodes, message))
		}
	})
}

func TestMessagesThatCannotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := network(t, newHub(0), 2)
		defer stopAll(nodes)
		nodes[0].Broadcast(nil)
		nodes[0].Broadcast(make([]byte, maxMessage+1))
		if h := nodes[0].Health(); h.Queued != 0 || h.Refused != 2 {
			t.Errorf("health %+v, want nothing queued and two refused", h)
		}
		for range 2 * maxQueued {
			nodes[0].Broadcast([]byte("head"))
		}
		if h := nodes[0].Health(); h.Queued > maxQueued {
			t.Errorf("%d messages queued, at most %d may", h.Queued, maxQueued)
		}
	})
}

// A layer above that is stuck costs its own messages and nothing else.
func TestNobodyToHear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(0)
		nodes := network(t, h, 3)
		defer stopAll(nodes)
		until(t, time.Minute, "everybody sees everybody", allAlive(nodes))
		full := (*delegate)(nodes[0].Gossip)
		for range 1000 {
			full.NotifyMsg([]byte("flood"))
		}
		full.NotifyMsg(make([]byte, maxMessage+1))
		if got := nodes[0].Health(); got.Dropped == 0 {
			t.Errorf("nothing was dropped: %+v", got)
		}
		nodes[1].say("after the flood")
		until(t, 20*time.Second, "it is heard", allHave(nodes, "after the flood"))
	})
}

func TestARemovedMemberIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := network(t, newHub(0), 4)
		defer stopAll(nodes)
		until(t, time.Minute, "everybody sees everybody", allAlive(nodes))
		kept := []trust.NodeID{nodes[0].id, nodes[1].id, nodes[2].id}
		for _, n := range nodes[:3] {
			n.repin(kept)
		}
		if nodes[0].sees(nodes[3]) != "not a member" {
			t.Error("the removed node is still shown")
		}
		nodes[3].say("from outside") // it still thinks them alive
		time.Sleep(2 * time.Minute)
		for _, n := range nodes[:3] {
			n.Gossip.mu.Lock()
			state := n.view[nodes[3].id]
			n.Gossip.mu.Unlock()
			if state != Dead {
				t.Errorf("memberlist still thinks the removed node %s", state)
			}
		}
		nodes[0].say("from inside")
		until(t, 20*time.Second, "the members hear each other", allHave(nodes[:3], "from inside"))
		time.Sleep(time.Minute)
		for _, n := range nodes[:3] {
			if n.has("from outside") {
				t.Error("a member hears the removed node")
			}
		}
		if nodes[3].has("from inside") {
			t.Error("the removed node hears the members")
		}
	})
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	good := Options{
		Self: idOf(t, "0"), Network: "test", Carrier: newHub(0).plug(idOf(t, "0")),
		Members: func() []trust.NodeID { return nil }, Heard: make(chan []byte, 1),
	}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Options){
		"no name":        func(o *Options) { o.Self = "me" },
		"no network":     func(o *Options) { o.Network = "" },
		"a long label":   func(o *Options) { o.Network = string(make([]byte, maxLabel+1)) },
		"no carrier":     func(o *Options) { o.Carrier = nil },
		"no members":     func(o *Options) { o.Members = nil },
		"nobody to hear": func(o *Options) { o.Heard = nil },
	} {
		o := good
		spoil(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: New accepts it", name)
		}
	}
}

func TestAddressesBelongToNames(t *testing.T) {
	a, b := address(idOf(t, "a")), address(idOf(t, "b"))
	if a.Equal(b) || a[0] != 0xfd || !a.IsPrivate() {
		t.Errorf("addresses %s and %s", a, b)
	}
}
