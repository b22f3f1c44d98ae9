package gossip

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/candignode/candignode/trust"
)

// Forged membership packets (trust-protocol.md, section 12), sent by a node
// that is pinned and has turned bad: nobody is moved, nobody new comes in, and
// who is declared dead is back soon.

// pack encodes memberlist's messages as it does: a type and a msgpack map.
func pack(kind byte, pairs ...any) []byte {
	b := append([]byte{typeLabel, 4}, "test"...)
	b = append(b, kind, 0x80|byte(len(pairs)/2))
	for i, v := range pairs {
		switch v := v.(type) {
		case string:
			if i%2 == 0 {
				b = append(b, 0xa0|byte(len(v)))
			} else {
				b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(len(v)))
			}
			b = append(b, v...)
		case []byte:
			b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(len(v)))
			b = append(b, v...)
		case uint32:
			b = binary.BigEndian.AppendUint32(append(b, 0xce), v)
		}
	}
	return b
}

const (
	kindSuspect = 3
	kindAlive   = 4
	kindDead    = 5
)

func forgedDead(victim, from trust.NodeID, incarnation uint32) []byte {
	return pack(kindDead, "Incarnation", incarnation, "Node", string(victim), "From", string(from))
}

func forgedAlive(victim trust.NodeID, ip net.IP, incarnation uint32) []byte {
	return pack(kindAlive, "Incarnation", incarnation, "Node", string(victim), "Addr", []byte(ip),
		"Port", uint32(port), "Meta", []byte{}, "Vsn", []byte{1, 5, 2, 0, 0, 0})
}

// village is five nodes of which the last one turns bad: its own gossip stops
// and the test sends what it likes in its name.
func village(t *testing.T) (good []*node, bad *node) {
	t.Helper()
	nodes := network(t, newHub(0), 5)
	until(t, time.Minute, "everybody sees everybody", allAlive(nodes))
	return nodes[:4], nodes[4]
}

func (n *node) sendAll(to []*node, packet []byte) {
	for _, other := range to {
		if other != n {
			_ = n.port.SendDatagram(other.id, packet)
		}
	}
}

func TestForgedDeathDoesNotLast(t *testing.T) {
	const highest = 1<<32 - 1
	for name, forged := range map[string]func(victim, bad trust.NodeID) []byte{
		"declared dead":          func(v, b trust.NodeID) []byte { return forgedDead(v, b, 1) },
		"declared dead for ever": func(v, b trust.NodeID) []byte { return forgedDead(v, b, highest) },
		"said to have left":      func(v, _ trust.NodeID) []byte { return forgedDead(v, v, highest) },
		"half of the highest":    func(v, b trust.NodeID) []byte { return forgedDead(v, b, 1<<31) },
		"alive with the highest": func(v, _ trust.NodeID) []byte { return forgedAlive(v, address(v), highest) },
		"suspected for ever": func(v, b trust.NodeID) []byte {
			return pack(kindSuspect, "Incarnation", uint32(highest), "Node", string(v), "From", string(b))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				good, bad := village(t)
				victim := good[0]
				defer stopAll(append(good, bad))
				bad.sendAll(good, forged(victim.id, bad.id))
				time.Sleep(3 * time.Second)
				took := until(t, 2*time.Minute, "everybody sees everybody again", allAlive(good))
				t.Logf("all alive again after %s", took+3*time.Second)
				time.Sleep(3 * time.Minute)
				took = until(t, time.Minute, "and it stays so", allAlive(good))
				if took > 0 {
					t.Errorf("after three minutes somebody was missing for %s", took)
				}
				victim.say("I am here")
				until(t, 20*time.Second, "all hear the victim", allHave(good, "I am here"))
			})
		})
	}
}

func TestForgedDeathAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := village(t)
		defer stopAll(append(good, bad))
		victim := good[0]
		for range 60 {
			bad.sendAll(good, forgedDead(victim.id, bad.id, 1<<32-1))
			time.Sleep(time.Second)
		}
		// Even then the members are who they are: nothing decides by this view.
		victim.say("under attack")
		until(t, time.Minute, "all hear the victim once it stops", allHave(good, "under attack"))
		until(t, 2*time.Minute, "everybody sees everybody again", allAlive(good))
	})
}

func TestForgedLifeMovesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := village(t)
		defer stopAll(append(good, bad))
		victim, stranger := good[0], idOf(t, "stranger")
		// The recipe that works on memberlist alone: declare dead, then alive elsewhere.
		for range 10 {
			bad.sendAll(good, forgedDead(victim.id, victim.id, 7))
			bad.sendAll(good, forgedAlive(victim.id, address(bad.id), 9))
			bad.sendAll(good, forgedAlive(victim.id, net.IPv4(10, 0, 0, 1), 9))
			bad.sendAll(good, forgedAlive(stranger, address(stranger), 9))
			bad.sendAll(good, forgedAlive("not a name", address("not a name"), 9))
			time.Sleep(time.Second)
			for _, n := range good[1:] {
				checkPlaces(t, n)
			}
		}
		until(t, 2*time.Minute, "everybody sees everybody again", allAlive(good))
		for _, n := range good {
			checkPlaces(t, n)
		}
		if h := good[1].Health(); h.Refused == 0 {
			t.Error("no refusal is counted")
		}
	})
}

// checkPlaces looks into memberlist: members only, each at its own address.
func checkPlaces(t *testing.T, n *node) {
	t.Helper()
	n.Gossip.mu.Lock()
	list := n.list
	n.Gossip.mu.Unlock()
	for _, m := range list.Members() {
		id := trust.NodeID(m.Name)
		if id != n.id && !n.isMember(id) {
			t.Errorf("a stranger came in: %.80q", m.Name)
		}
		if !m.Addr.Equal(address(id)) || m.Port != port {
			t.Errorf("%s was moved to %s:%d", id.Short(), m.Addr, m.Port)
		}
	}
}

// A whole second memberlist under a victim's name, on the bad node's carrier.
func TestAnImpostorWithAMemberlistOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := village(t)
		victim := good[0]
		bad.cancel()
		<-bad.done

		pose, err := New(Options{
			Self: bad.id, Network: "test", Carrier: bad.port, Heard: make(chan []byte, 64),
			Members: func() []trust.NodeID { return bad.pins },
		})
		if err != nil {
			t.Fatal(err)
		}
		transport := newTransport(pose)
		config := pose.config(transport)
		config.Name = string(victim.id) // its packets say: I am the victim, and I live at the bad node's address
		config.Alive, config.Events = nil, nil
		list, err := memberlist.Create(config)
		if err != nil {
			t.Fatal(err)
		}
		for range 12 {
			for _, n := range good[1:] {
				_, _ = list.Join([]string{joinName(n.id)})
			}
			_ = list.UpdateNode(time.Second) // a higher incarnation each time
			time.Sleep(5 * time.Second)
			for _, n := range good[1:] {
				checkPlaces(t, n)
			}
		}
		if err := list.Shutdown(); err != nil {
			t.Error(err)
		}
		until(t, 2*time.Minute, "the good see each other", allAlive(good))
		victim.say("the real one")
		until(t, 20*time.Second, "all hear the real one", allHave(good, "the real one"))
		stopAll(good)
	})
}

func TestAnotherNetworkIsNotHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := village(t)
		defer stopAll(append(good, bad))
		packet := forgedDead(good[0].id, good[0].id, 9)
		bad.sendAll(good, append([]byte("\xf4\x05other"), packet[6:]...))
		bad.sendAll(good, packet[6:])
		time.Sleep(time.Second)
		if !allAlive(good)() {
			t.Error("a packet of another network, or of none, was believed")
		}
	})
}

// What a stream may begin with; the rest of it never reaches memberlist.
func TestGuardOfStreams(t *testing.T) {
	label := "\xf4\x04test"
	states := func(nodes string) string {
		return "\x06\x83\xa5Nodes" + nodes + "\xacUserStateLen\x00\xa4Join\xc3"
	}
	cases := map[string]struct {
		label, bytes string
		ok           bool
	}{
		"an exchange":                {"test", label + states("\x02") + "rest", true},
		"an exchange of 300":         {"test", label + states("\xd1\x01\x2c") + "rest", true},
		"an answer":                  {"", states("\x02") + "rest", true},
		"a ping":                     {"test", label + "\x00rest", true},
		"an acknowledgement":         {"", "\x02rest", true},
		"an error":                   {"", "\x0drest", true},
		"a million members":          {"test", label + states("\xd2\x00\x10\x00\x00"), false},
		"a negative number":          {"test", label + states("\xd2\xff\xff\xff\xff"), false},
		"members as text":            {"test", label + states("\xa1x"), false},
		"user state":                 {"test", label + "\x06\x83\xacUserStateLen\xd2\x00\x10\x00\x00", false},
		"a key twice":                {"test", label + "\x06\x83\xa5Nodes\x01\xa5Nodes\x01\xa5Nodes\x01", false},
		"another key":                {"test", label + "\x06\x83\xa5Other\x01", false},
		"a longer map":               {"test", label + "\x06\x84\xa5Nodes\x01", false},
		"compressed":                 {"test", label + "\x09\x82", false},
		"encrypted":                  {"test", label + "\x0a", false},
		"a user message":             {"test", label + "\x08", false},
		"no label":                   {"test", states("\x02"), false},
		"another label":              {"test", "\xf4\x04TEST" + states("\x02"), false},
		"an answer with a label":     {"", label + states("\x02"), false},
		"a ping as an answer":        {"", "\x00", false},
		"an acknowledgement unasked": {"test", label + "\x02", false},
		"nothing":                    {"test", "", false},
		"it ends in the middle":      {"test", label + "\x06\x83\xa5Nod", false},
		"a header that does not end": {"", "\x06\x83\xbf" + string(bytes.Repeat([]byte("x"), 31)) + "\xcf" + string(make([]byte, 200)), false},
	}
	for name, c := range cases {
		for _, step := range []int{1, 1000} { // however it is cut into packets
			got, err := readHead(&stepReader{[]byte(c.bytes), step}, c.label)
			if (err == nil) != c.ok {
				t.Errorf("%s, %d bytes at a time: %v", name, step, err)
			}
			if err == nil && !bytes.HasPrefix([]byte(c.bytes), got) {
				t.Errorf("%s: the guard changes what it read", name)
			}
		}
	}
}

func TestGuardBoundsTheRest(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		_, _ = far.Write([]byte("\x02"))
		chunk := make([]byte, 64<<10)
		for range 2 * maxStream / len(chunk) {
			if _, err := far.Write(chunk); err != nil {
				return
			}
		}
	}()
	n, err := io.Copy(io.Discard, guard(t.Context(), near, ""))
	if err == nil || n > maxStream+maxHeader {
		t.Errorf("%d bytes pass, %v", n, err)
	}
}

type stepReader struct {
	rest []byte
	step int
}

func (r *stepReader) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), r.step)], r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// FuzzStreamHead: whatever a stream begins with, the guard neither hangs nor
// lets a large header through, and gives the same verdict however it is cut.
func FuzzStreamHead(f *testing.F) {
	f.Add([]byte("\xf4\x04test\x06\x83\xa5Nodes\x02\xacUserStateLen\x00\xa4Join\xc3"), "test")
	f.Add([]byte("\x06\x83\xa5Nodes\x02\xacUserStateLen\x00\xa4Join\xc2"), "")
	f.Fuzz(func(t *testing.T, b []byte, label string) {
		if len(label) > maxLabel {
			return
		}
		whole, err := readHead(bytes.NewReader(b), label)
		pieces, err1 := readHead(&stepReader{b, 1}, label)
		if (err == nil) != (err1 == nil) {
			t.Fatalf("at once: %v; bit by bit: %v", err, err1)
		}
		if err == nil && (len(whole) > maxHeader || !bytes.HasPrefix(b, whole) || !bytes.HasPrefix(whole, pieces)) {
			t.Fatalf("%q became %q and %q", b, whole, pieces)
		}
	})
}
