package federation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/candignode/candignode/query"
)

// A lying peer: what it may not do is an error of that site, and the caller
// reads nothing of what it wrote.
func TestLyingPeer(t *testing.T) {
	const head = `{"site":"bcgsc","node":"NODE","status":"ok","datasets":[`
	const honest = `{"dataset":"d1","granularity":"count","exists":true,"count":12,"precision":"exact"}`
	for name, c := range map[string]struct {
		response string
		want     string // bcgsc's part, as statuses gives it
		bend     func(*query.Request)
	}{
		"honest":           {response: head + honest + `]}`, want: "ok:12"},
		"100 datasets":     {response: head + numberedDatasets(honest, query.MaxDatasets) + `]}`, want: "ok" + strings.Repeat(":12", 100)},
		"unknown member":   {response: head + honest + `],"receipt":"x"}`, want: "ok:12"},
		"fewer than asked": {response: head + `{"dataset":"d1","granularity":"boolean","exists":true}]}`, want: "ok"},
		"record was asked": {response: head + honest + `]}`, want: "ok:12", bend: func(q *query.Request) { q.Granularity = query.Record }},
		"zero":             {response: head + `{"dataset":"d1","granularity":"count","exists":false,"count":0,"precision":"thresholded"}]}`, want: "ok:0"},
		"denied":           {response: `{"site":"bcgsc","node":"NODE","status":"denied","code":"<b>"}`, want: "denied"},
		"nothing":          {response: `{"site":"bcgsc","node":"NODE","status":"nothing"}`, want: "nothing"},
		"its own timeout":  {response: `{"site":"bcgsc","node":"NODE","status":"timeout"}`, want: "timeout"},
		"its own error":    {response: `{"site":"bcgsc","node":"NODE","status":"error","code":"source"}`, want: "error"},
		"refused":          {response: refusedResponse, want: "refused"},
		"busy":             {response: busyResponse, want: "refused"},

		"empty":                   {response: ``, want: "error"},
		"garbage":                 {response: "\x00\xff<html>", want: "error"},
		"null":                    {response: `null`, want: "error"},
		"two answers":             {response: head + honest + `]}{}`, want: "error"},
		"member twice":            {response: `{"status":"error","site":"bcgsc","node":"NODE","status":"ok","datasets":[` + honest + `]}`, want: "error"},
		"oversized":               {response: head + honest + `]}` + strings.Repeat(" ", MaxResponse), want: "error"},
		"100 MB":                  {response: strings.Repeat("[", 100<<20), want: "error"},
		"under a name of its own": {response: strings.Replace(head, "bcgsc", "chus", 1) + honest + `]}`, want: "ok:12"},
		"for another node":        {response: strings.Replace(head, "NODE", "other", 1) + honest + `]}`, want: "error"},
		"for no site":             {response: `{"status":"ok","datasets":[` + honest + `]}`, want: "error"},
		"negative count":          {response: head + strings.Replace(honest, "12", "-12", 1) + `]}`, want: "error"},
		"negative and not there":  {response: head + `{"dataset":"d1","granularity":"count","exists":false,"count":-1,"precision":"exact"}]}`, want: "error"},
		"more than there are":     {response: head + strings.Replace(honest, "12", "10000000001", 1) + `]}`, want: "error"},
		"count that overflows":    {response: head + strings.Replace(honest, "12", "9223372036854775808", 1) + `]}`, want: "error"},
		"count that is a half":    {response: head + strings.Replace(honest, "12", "1.5", 1) + `]}`, want: "error"},
		"count and not exists":    {response: head + strings.Replace(honest, "true", "false", 1) + `]}`, want: "error"},
		"exists and count zero":   {response: head + strings.Replace(honest, "12", "0", 1) + `]}`, want: "error"},
		"no count":                {response: head + `{"dataset":"d1","granularity":"count","exists":true,"precision":"exact"}]}`, want: "error"},
		"no precision":            {response: head + `{"dataset":"d1","granularity":"count","exists":true,"count":1}]}`, want: "error"},
		"records":                 {response: head + strings.Replace(honest, `"count"`, `"record"`, 1) + `]}`, want: "error", bend: func(q *query.Request) { q.Granularity = query.Record }},
		"more than was asked":     {response: head + honest + `]}`, want: "error", bend: func(q *query.Request) { q.Granularity = query.Boolean }},
		"boolean with a count":    {response: head + strings.Replace(honest, `"count"`, `"boolean"`, 1) + `]}`, want: "error"},
		"dataset not asked for":   {response: head + honest + `]}`, want: "error", bend: func(q *query.Request) { q.Datasets = []string{"d2"} }},
		"dataset with a script":   {response: head + strings.Replace(honest, "d1", "<script>", 1) + `]}`, want: "error"},
		"dataset twice":           {response: head + honest + `,` + honest + `]}`, want: "error"},
		"ok without a dataset":    {response: head + `]}`, want: "error"},
		"denied with data":        {response: strings.Replace(head, `"ok"`, `"denied"`, 1) + honest + `]}`, want: "error"},
		"101 datasets":            {response: head + numberedDatasets(honest, query.MaxDatasets+1) + `]}`, want: "error"},
		"unreachable, it says":    {response: `{"site":"bcgsc","node":"NODE","status":"unreachable"}`, want: "error"},
		"bad version, it says":    {response: `{"site":"bcgsc","node":"NODE","status":"bad_version"}`, want: "error"},
		"a status of its own":     {response: `{"site":"bcgsc","node":"NODE","status":"fine"}`, want: "error"},
		"members in other cases":  {response: `{"Site":"bcgsc","Node":"NODE","Status":"ok"}`, want: "error"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			uhn := w.site("uhn")
			uhn.lines["bcgsc"] = func(_ context.Context, m []byte) ([]byte, error) {
				answer := strings.Replace(c.response, "NODE", string(w.site("bcgsc").node), 1)
				if answer == refusedResponse || answer == busyResponse {
					return []byte(answer), nil
				}
				return w.site("bcgsc").signs(m, answer), nil
			}
			uhn.lines["chus"] = func(context.Context, []byte) ([]byte, error) { return nil, ErrUnreachable }
			q := aQuestion()
			if c.bend != nil {
				c.bend(&q)
			}
			answer, err := uhn.everyone.Ask(t.Context(), alice(), q)
			if err != nil {
				t.Fatal(err)
			}
			part := answer.Parts[0]
			if got, _, _ := strings.Cut(statuses(answer), " "); got != "bcgsc="+c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if part.Site != "bcgsc" || part.Node != w.site("bcgsc").node {
				t.Errorf("the part is site %s, node %s", part.Site, part.Node)
			}
			if part.Status == query.OK {
				return
			}
			if strings.Contains(c.response, `"code":"source"`) && part.Error.Code != codeError {
				t.Errorf("the peer's own code %q was passed on", part.Error.Code)
			}
			if part.Error == nil || part.Error.Message != sentence(part.Error.Code) || len(part.Datasets) > 0 {
				t.Errorf("got %+v, %+v", part, part.Error)
			}
		})
	}
}

// numberedDatasets repeats a dataset n times under different ids.
func numberedDatasets(dataset string, n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = strings.Replace(dataset, "d1", fmt.Sprintf("d%03d", i), 1)
	}
	return strings.Join(all, ",")
}

// Every part that a site can make is one that its peers take.
func TestOwnPartsAreTakenByPeers(t *testing.T) {
	peer := Peer{Site: "bcgsc", Node: "n"}
	n := int64(3)
	for _, want := range []query.Part{
		{Site: "bcgsc", Node: "n", Status: query.OK, Datasets: []query.DatasetAnswer{
			{Dataset: "a", Granularity: query.Boolean, Exists: true},
			{Dataset: "b", Granularity: query.Count, Exists: true, Count: &n, Precision: query.Thresholded},
		}},
		failed("bcgsc", "n", query.Denied, codeDenied),
		failed("bcgsc", "n", query.Nothing, codeNothing),
		failed("bcgsc", "n", query.Timeout, codeTimeout),
		failed("bcgsc", "n", query.Failed, codeError),
		failed("bcgsc", "n", query.Failed, codePolicyError),
		failed("bcgsc", "n", query.Failed, codeSourceError),
		failed("bcgsc", "n", query.Failed, codeAccessEnded),
	} {
		b, err := encodeResponse(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readResponse(b, peer, aQuestion())
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		x, _ := json.Marshal(got)
		y, _ := json.Marshal(want)
		if string(x) != string(y) {
			t.Errorf("got  %s\nwant %s", x, y)
		}
	}
}

func TestResponseOutOfBoundsIsNotSent(t *testing.T) {
	part := query.Part{Site: "bcgsc", Status: query.OK}
	for range 2000 {
		part.Datasets = append(part.Datasets, query.DatasetAnswer{Dataset: strings.Repeat("d", 64)})
	}
	if b, err := encodeResponse(part); err == nil {
		t.Errorf("%d bytes", len(b))
	}
	if _, err := readResponse(make([]byte, MaxResponse+1), Peer{}, aQuestion()); !errors.Is(err, errResponse) {
		t.Errorf("got %v", err)
	}
}
