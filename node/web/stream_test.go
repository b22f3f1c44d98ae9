package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
)

// slowNetwork gives each part when the test says so.
type slowNetwork struct {
	parts chan query.Part
	err   error
}

func (n slowNetwork) Ask(ctx context.Context, c trust.Caller, r query.Request) (query.Answer, error) {
	return n.AskEach(ctx, c, r, func(query.Part) {})
}

func (n slowNetwork) AskEach(ctx context.Context, _ trust.Caller, r query.Request, each func(query.Part)) (query.Answer, error) {
	answer := query.Answer{Transaction: r.Transaction, Granularity: r.Granularity}
	for {
		select {
		case p, more := <-n.parts:
			if !more {
				return answer.Join(query.Answer{}), n.err
			}
			answer.Parts = append(answer.Parts, p)
			each(p)
		case <-ctx.Done():
			return query.Answer{}, ctx.Err()
		}
	}
}

// A part leaves when its site has answered, not when all have.
func TestPartsLeaveAsTheyArrive(t *testing.T) {
	network := slowNetwork{parts: make(chan query.Part)}
	w := newWorld(t, withNetwork(network))
	server := httptest.NewServer(w)
	defer server.Close()
	request, err := http.NewRequest(http.MethodPost, server.URL+"/network/beacon/g_variants", strings.NewReader(question(alicesPassport)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json;q=0.5, application/x-ndjson")
	parts, _ := yes(t.Context(), query.Request{})
	go func() { network.parts <- parts[0] }()
	response, err := server.Client().Do(request) // headers leave with the first part
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.Header.Get("Content-Type") != api.MediaTypeLines || !strings.Contains(response.Header.Get("Cache-Control"), "no-store") {
		t.Errorf("headers %v", response.Header)
	}
	lines := bufio.NewScanner(response.Body)
	next := func() (line api.Line) {
		t.Helper()
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &line) != nil {
			t.Fatalf("no line: %q %v", lines.Text(), lines.Err())
		}
		return line
	}
	if first := next(); first.Part == nil || first.Part.Site != "uhn" || *first.Part.Datasets[0].Count != 71 {
		t.Errorf("first %+v", first)
	}
	network.parts <- query.FailedPart("chus", "node-chus", query.Unreachable, "unreachable", "no connection")
	if second := next(); second.Part == nil || second.Part.Status != "unreachable" || second.Part.Error.Code != "unreachable" {
		t.Errorf("second %+v", second)
	}
	close(network.parts)
	last := next()
	if last.Answer == nil || last.Beacon == nil || last.Answer.Complete || !last.Answer.Exists || *last.Answer.Count != 71 || last.Answer.Sites[0].Site != "chus" {
		t.Errorf("last %+v", last)
	}
	if lines.Scan() {
		t.Errorf("more: %s", lines.Text())
	}
}

// After a part has left, an error is a line: the stream is no answer.
func TestAStreamThatFailsSaysSo(t *testing.T) {
	network := slowNetwork{parts: make(chan query.Part, 2), err: errors.New("could not be recorded")}
	network.parts <- query.Part{Site: "uhn", Status: query.Nothing}
	close(network.parts)
	w := newWorld(t, withNetwork(network))
	server := httptest.NewServer(w)
	defer server.Close()
	seen := 0
	_, err := api.Client{BaseURL: server.URL}.Query(t.Context(), aQuestion(), func(api.Site) { seen++ })
	var problem *api.Problem
	if seen != 1 || !errors.As(err, &problem) || problem.Status != http.StatusServiceUnavailable || problem.Transaction == "" {
		t.Errorf("saw %d parts, then %v", seen, err)
	}
}

func aQuestion() api.Question {
	return api.Question{Assembly: "GRCh37", Chrom: "22", Start: 16050074, Ref: "A", Alt: "G", Granularity: "count"}
}

// The command line's client understands the door, at both roots.
func TestTheClientUnderstandsTheDoor(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(w)
	defer server.Close()
	client := api.Client{BaseURL: server.URL + "/", HTTP: server.Client()}
	for _, siteOnly := range []bool{true, false} {
		q := aQuestion()
		q.SiteOnly, q.Datasets, q.Passports = siteOnly, []string{"cohort"}, []string{alicesPassport}
		var seen []string
		answer, err := client.Query(t.Context(), q, func(s api.Site) { seen = append(seen, s.Site) })
		if err != nil || *answer.Count != 71 || !answer.Complete || !answer.Exists || len(answer.Transaction) != 22 || !slices.Equal(seen, []string{"uhn"}) {
			t.Errorf("site only %v: %+v, %v, saw %v", siteOnly, answer, err, seen)
		}
	}
	for i, asked := range w.asked {
		if !slices.Equal(asked.Datasets, []string{"cohort"}) || asked.Include != query.IncludeAll || w.callers[i].Subject != "alice" {
			t.Errorf("arrived as %+v of %v", asked, w.callers[i])
		}
	}
	ranged := api.Question{Assembly: "GRCh38", Chrom: "22", Start: 16050000, End: 16050200, Granularity: "count", TestMode: true}
	if answer, err := client.Query(t.Context(), ranged, nil); err != nil || *answer.Count != 132 {
		t.Errorf("test mode: %+v, %v", answer, err)
	}
	who, err := client.Whoami(t.Context(), []string{alicesPassport})
	if err != nil || who.Caller.Subject != "alice" || len(who.Visas) != 2 || who.Visas[1].Reason != "untrusted_source" {
		t.Errorf("%+v, %v", who, err)
	}
	var problem *api.Problem
	if _, err := client.Whoami(t.Context(), []string{expiredPassport}); !errors.As(err, &problem) || problem.Status != 401 || problem.Reason != "expired" {
		t.Errorf("%v", err)
	}
	q := aQuestion()
	q.Passports = []string{expiredPassport}
	if _, err := client.Query(t.Context(), q, nil); !errors.As(err, &problem) || problem.Reason != "expired" || !strings.Contains(problem.Error(), "sign in again") {
		t.Errorf("%v", err)
	}
	q = aQuestion()
	q.Chrom = "99"
	if _, err := client.Query(t.Context(), q, nil); !errors.As(err, &problem) || problem.Status != 400 || !strings.Contains(problem.Detail, "referenceName") {
		t.Errorf("%v", err)
	}
}
