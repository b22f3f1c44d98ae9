package issuers

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// open gives a desk that does not run, which the test polls itself, in a world of its
// own.
func open(t *testing.T, w *world, policies ...trust.IssuerPolicy) (*Desk, signer) {
	t.Helper()
	d, p, _ := lone(t, policies...)
	d.now, d.fetcher = time.Now, window{w, "a"}
	step(t, d)
	return d, p
}

// tell makes the desk hear of a peer that sees keys now.
func tell(t *testing.T, d *Desk, s signer, ver int64, records ...string) {
	t.Helper()
	site := s.siteRecord(1, 0, nil)
	site.Issued, site.Expires = 1, time.Now().Add(time.Hour).Unix()
	site.Issued = site.Expires - int64(siteLife/time.Second)
	w := s.bundleWith(site, ver, d.state.Load().author(s.site).last(), func(h *Head) {
		h.Issued, h.Expires = time.Now().Unix(), time.Now().Add(maxLife).Unix()
	}, records...)
	if _, err := d.accept(t.Context(), w); err != nil {
		t.Fatal(err)
	}
}

func (s signer) sees(kids ...string) string {
	return s.seal(typObs, obsRecord{s.net(), testIssuer, testIssuer + "/jwks", trust.Digest{}, thumbprints(kids...), time.Now().Unix(), trust.Digest{}, ""})
}

// cause is what brings an alarm about, and what ends it.
type cause struct {
	policy    trust.IssuerPolicy
	issuer    string
	site      trust.SiteName
	rise, end func(*testing.T, *Desk, *world, signer)
	once      bool // to bring it about again takes another cause
}

func causes() map[string]cause {
	direct := trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect}
	fetch := func(d *Desk) { _ = d.fetch(context.Background(), testIssuer) }
	return map[string]cause{
		AlarmFetchFailed: {policy: direct, issuer: testIssuer,
			rise: func(_ *testing.T, d *Desk, w *world, _ signer) { w.publish(testIssuer); fetch(d) },
			end:  func(_ *testing.T, d *Desk, w *world, _ signer) { w.publish(testIssuer, "k"); fetch(d) }},
		AlarmStale: {policy: direct, issuer: testIssuer,
			rise: func(*testing.T, *Desk, *world, signer) { time.Sleep(DefaultStale) },
			end:  func(_ *testing.T, d *Desk, w *world, _ signer) { fetch(d) }},
		AlarmMode: {policy: direct, issuer: testIssuer,
			rise: func(t *testing.T, d *Desk, _ *world, _ signer) {
				reconfigured(t, d, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeHome})
			},
			end: func(t *testing.T, d *Desk, _ *world, _ signer) { reconfigured(t, d, direct) }},
		AlarmQuorum: {policy: quorumPolicy(1, "p"), issuer: testIssuer,
			rise: func(t *testing.T, d *Desk, w *world, _ signer) { w.publish(testIssuer, "k", "new"); fetch(d) },
			end:  func(t *testing.T, d *Desk, _ *world, p signer) { tell(t, d, p, 2, p.sees("k", "new")) }, once: true},
		AlarmDisagree: {policy: quorumPolicy(1, "p", "q"), issuer: testIssuer,
			rise: func(t *testing.T, d *Desk, _ *world, _ signer) {
				q := newSigner("q")
				tell(t, d, q, 1, q.sees("k", "other"))
			},
			end: func(t *testing.T, d *Desk, _ *world, _ signer) { q := newSigner("q"); tell(t, d, q, 2, q.sees("k")) }, once: true},
		AlarmSharedKey: {policy: direct, issuer: testIssuer,
			rise: func(t *testing.T, d *Desk, w *world, _ signer) {
				reconfigured(t, d, direct, trust.IssuerPolicy{Issuer: "https://copy", Mode: trust.ModeDirect})
				w.publish("https://copy", "k")
				_ = d.fetch(t.Context(), "https://copy")
			},
			end: func(t *testing.T, d *Desk, w *world, _ signer) {
				w.publish("https://copy", "own")
				_ = d.fetch(t.Context(), "https://copy")
			}},
		AlarmFork: {policy: direct, site: "p",
			rise: func(t *testing.T, d *Desk, _ *world, p signer) {
				if _, err := d.acceptFork(t.Context(), p.fork(1, 40)); err != nil {
					t.Error(err)
				}
			},
			end: func(t *testing.T, d *Desk, _ *world, p signer) {
				if _, err := d.acceptFork(t.Context(), p.fork(1, 1)); err != nil {
					t.Error(err)
				}
				raise(t, d, p)
			}, once: true},
		AlarmClock: {policy: direct, site: "p",
			rise: func(t *testing.T, d *Desk, _ *world, p signer) {
				at := time.Now().Add(time.Hour)
				h := Head{Net: p.net(), Epoch: 1, Version: 9, Count: 1, Issued: at.Unix(), Expires: at.Unix() + 60}
				_ = d.hear(t.Context(), []byte(p.seal(typHead, h)))
			},
			end: func(*testing.T, *Desk, *world, signer) { time.Sleep(time.Hour) }},
		AlarmTooLarge: {policy: direct, issuer: testIssuer,
			rise: func(t *testing.T, d *Desk, w *world, _ signer) {
				w.publish(testIssuer, strings.Split("abcdefghijklmnopqrstuvwxyz12", "")...)
				fetch(d)
				_, _ = d.publish(t.Context(), false)
			},
			end: func(t *testing.T, d *Desk, w *world, _ signer) {
				w.publish(testIssuer, "k")
				fetch(d)
				_, _ = d.publish(t.Context(), false)
			}},
	}
}

// Each alarm stands from its cause on, and no longer: its time is when the cause began,
// and a cause that comes back is a new alarm.
func TestAlarmsRiseAndEnd(t *testing.T) {
	for name, test := range causes() {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T) {
				w := newWorld()
				w.publish(testIssuer, "k")
				d, p := open(t, w, test.policy)
				_ = d.fetch(t.Context(), testIssuer)
				tell(t, d, p, 1, p.sees("k"))
				stands := func(want bool) Alarm {
					t.Helper()
					step(t, d)
					a, ok := d.alarm(name, test.issuer, test.site)
					if ok != want || ok && a.Message == "" {
						t.Fatalf("it stands: %v; alarms %+v", ok, d.Alarms())
					}
					return a
				}
				stands(false)
				time.Sleep(time.Minute)
				test.rise(t, d, w, p)
				began := time.Now().UTC().Truncate(time.Second)
				if a := stands(true); a.Since.Before(began.Add(-time.Second)) || a.Since.After(began) {
					t.Errorf("it stands since %v, not %v", a.Since, began)
				}
				time.Sleep(10 * time.Minute)
				if a := stands(true); a.Since.After(began) {
					t.Errorf("it stands since %v, not %v", a.Since, began)
				}
				test.end(t, d, w, p)
				stands(false)
				if test.once {
					return
				}
				time.Sleep(time.Minute)
				test.rise(t, d, w, p)
				if a := stands(true); !a.Since.After(began) {
					t.Errorf("an alarm that came back stands since %v", a.Since)
				}
			})
		})
	}
}

func reconfigured(t *testing.T, d *Desk, policies ...trust.IssuerPolicy) {
	t.Helper()
	if err := d.Reconfigure(policies, pinned(d.state.Load().peers)); err != nil {
		t.Fatal(err)
	}
}

// raise makes the desk hear of a peer that speaks in a new epoch.
func raise(t *testing.T, d *Desk, s signer) {
	t.Helper()
	site := s.siteRecord(2, 0, nil)
	site.Expires = time.Now().Add(time.Hour).Unix()
	site.Issued = site.Expires - int64(siteLife/time.Second)
	w := s.bundleWith(site, 99, trust.Digest{}, func(h *Head) {
		h.Issued, h.Expires = time.Now().Unix(), time.Now().Add(maxLife).Unix()
	})
	if changed, err := d.accept(t.Context(), w); err != nil || !changed {
		t.Fatal(changed, err)
	}
}

// What a peer or an issuer writes into an alarm is bounded and quoted.
func TestAlarmTextIsBounded(t *testing.T) {
	d, _, _ := lone(t, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
	if err := d.commit(t.Context(), func(next *draft) error {
		f := fetchState{err: bounded(strings.Repeat("é", 5000))}
		for range 3 {
			f.Rejected = append(f.Rejected, jose.RejectedKey{KeyID: "a\nb" + strings.Repeat("k", 9000), Why: strings.Repeat("w", 9000), Alarm: true})
		}
		f.Rejected = append(f.Rejected, jose.RejectedKey{KeyID: "harmless", Why: "of a kind that is not used"})
		next.fetches[testIssuer] = f
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, a := range d.Alarms() {
		count[a.Code]++
		if len(a.Message) > maxDetail || strings.Contains(a.Message, "\n") || !utf8.ValidString(a.Message) || strings.Contains(a.Message, "harmless") {
			t.Errorf("%d bytes: %.200q", len(a.Message), a.Message)
		}
	}
	if count[AlarmBadKey] != 3 || count[AlarmFetchFailed] != 1 {
		t.Errorf("alarms %v", count)
	}
}
