package gossip_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/federation/gossip"
	"github.com/candignode/candignode/federation/wire"
	"github.com/candignode/candignode/trust"
)

// The wire is the carrier that gossip has in mind: three nodes on loopback find
// each other over it and hear the largest message.
func TestGossipOverTheWire(t *testing.T) {
	t.Cleanup(func() { probesEnd(t) })
	names := []trust.SiteName{"uhn", "bcgsc", "chus"}
	sockets := make([]net.PacketConn, len(names))
	pins := make([]wire.Peer, len(names))
	ids := make([]trust.NodeID, len(names))
	keys := make([]ed25519.PrivateKey, len(names))
	for i, name := range names {
		seed := sha256.Sum256([]byte("over the wire " + name))
		keys[i] = ed25519.NewKeyFromSeed(seed[:])
		id, err := trust.NodeIDOf(keys[i].Public())
		if err != nil {
			t.Fatal(err)
		}
		if sockets[i], err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		ids[i], pins[i] = id, wire.Peer{Site: name, Node: id, Addr: sockets[i].LocalAddr().String()}
	}

	// Gossip stops before the wire that carries it, as in the daemon.
	wires, stopWires := context.WithCancel(context.Background())
	gossips, stopGossips := context.WithCancel(context.Background())
	var wiresDone, gossipsDone sync.WaitGroup
	defer func() {
		stopGossips()
		gossipsDone.Wait()
		stopWires()
		wiresDone.Wait()
		for _, s := range sockets {
			s.Close()
		}
	}()

	nodes := make([]*gossip.Gossip, len(names))
	heard := make([]chan []byte, len(names))
	for i, name := range names {
		var others []wire.Peer
		for j, pin := range pins {
			if j != i {
				others = append(others, pin)
			}
		}
		mesh, err := wire.New(wire.Options{PacketConn: sockets[i], Key: keys[i], Site: name, Peers: others})
		if err != nil {
			t.Fatal(err)
		}
		heard[i] = make(chan []byte, 64)
		if nodes[i], err = gossip.New(gossip.Options{
			Self: ids[i], Network: "over the wire", Carrier: mesh, Heard: heard[i],
			Members: func() []trust.NodeID { return ids },
		}); err != nil {
			t.Fatal(err)
		}
		wiresDone.Go(func() {
			if err := mesh.Run(wires, nil); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		gossipsDone.Go(func() {
			if err := nodes[i].Run(gossips); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}

	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for nodes[0].Health().Alive+nodes[1].Health().Alive+nodes[2].Health().Alive < 6 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("they do not find each other: %+v", nodes[0].Members())
		}
	}
	message := bytes.Repeat([]byte("head"), 128) // 512 bytes
	nodes[0].Broadcast(message)
	for _, i := range []int{1, 2} {
		select {
		case got := <-heard[i]:
			if !bytes.Equal(got, message) {
				t.Errorf("%s hears %d other bytes", names[i], len(got))
			}
		case <-deadline:
			t.Fatalf("%s hears nothing", names[i])
		}
	}
}

// probesEnd waits for the probe that memberlist had under way when it was shut down:
// its goroutine ends with the probe's own time, which on a busy machine is longer than
// goleak waits by itself.
func probesEnd(t *testing.T) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for strings.Contains(allStacks(), "(*Memberlist).probeNode") {
		select {
		case <-tick.C:
		case <-deadline:
			t.Error("a probe goes on long after the end")
			return
		}
	}
}

func allStacks() string {
	stacks := make([]byte, 1<<20)
	return string(stacks[:runtime.Stack(stacks, true)])
}
