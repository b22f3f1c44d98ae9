package federation

import (
	"context"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
)

// BenchmarkAskEach is one question to three sites over lines that are function
// calls: two assertions sealed, two verified, three answers joined. What a real
// line, passport reader, source and audit log cost comes on top.
func BenchmarkAskEach(b *testing.B) {
	for name, caller := range map[string]trust.Caller{
		"anonymous":        {},
		"passport of 4 KB": benchCaller(4 << 10),
	} {
		b.Run(name, func(b *testing.B) {
			w := benchWorld(b)
			everyone := w.site("uhn").everyone
			b.ReportAllocs()
			for b.Loop() {
				answer, err := everyone.AskEach(b.Context(), caller, aQuestion(), nil)
				if err != nil || !answer.Complete() {
					b.Fatal(statuses(answer), err)
				}
				w.forget()
			}
		})
	}
}

// BenchmarkServe is the target's half: one message checked and answered.
func BenchmarkServe(b *testing.B) {
	w := benchWorld(b)
	f := w.forge()
	f.show(benchCaller(4 << 10).Passports[0].Compact())
	target := w.site("bcgsc")
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		f.claims.ID = newID()
		f.claims.stamp(w.now())
		f.in.Request = f.message()
		w.forget()
		b.StartTimer()
		if got := target.receiver.Serve(b.Context(), f.in); string(got) == refusedResponse {
			b.Fatal(target.log.records)
		}
	}
}

// BenchmarkSignatures is the floor of both: one signature made and verified.
func BenchmarkSignatures(b *testing.B) {
	key := newWorld(b).site("uhn").key
	public, _ := key.Public().(ed25519.PublicKey)
	message := make([]byte, 900)
	for b.Loop() {
		if !ed25519.Verify(public, message, ed25519.Sign(key, message)) {
			b.Fatal("does not verify")
		}
	}
}

func benchCaller(size int) trust.Caller {
	c := alice()
	c.Passports = []trust.Passport{trust.NewPassport(alicePassport + strings.Repeat("x", size))}
	return c
}

// benchWorld's clock moves, so that the memory of used assertions is emptied.
func benchWorld(b *testing.B) *world {
	w := newWorld(b)
	begin := time.Now()
	w.now = func() time.Time { return start.Add(5*time.Second + 100*time.Since(begin)) }
	for _, h := range w.sites {
		h.lines = map[trust.SiteName]func(context.Context, []byte) ([]byte, error){}
	}
	return w
}

// forget empties what the pretend parts remember.
func (w *world) forget() {
	w.wires = nil
	for _, h := range w.sites {
		h.self.callers, h.log.records = nil, nil
	}
}
