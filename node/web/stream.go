package web

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/beacon"
)

// wantsLines tells whether the caller asks for a stream (query.md, section 5).
func wantsLines(accept []string) bool {
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, parameters, err := mime.ParseMediaType(part)
		if err == nil && kind == api.MediaTypeLines && parameters["q"] != "0" {
			return true
		}
	}
	return false
}

// stream writes each site's part as a line when it arrives, and the whole answer
// as the last line. The status is decided by what comes first: once a part has
// left, an error is a line too.
func (e *exchange) stream(d beacon.Decoded, ask func(each func(query.Part)) (query.Answer, error)) error {
	control := http.NewResponseController(e.w)
	var broken error
	line := func(l api.Line) {
		if broken != nil {
			return
		}
		var encoded []byte
		if encoded, broken = json.Marshal(l); broken != nil {
			return
		}
		e.writeBy()
		e.w.Header().Set("Content-Type", api.MediaTypeLines)
		if _, broken = e.w.Write(append(encoded, '\n')); broken == nil {
			_ = control.Flush() // a writer that cannot is one whose lines leave at the end
		}
	}
	answer, err := ask(func(p query.Part) {
		site := siteOf(p)
		line(api.Line{Part: &site})
	})
	switch {
	case err != nil && e.w.status == 0:
		return noAnswer(err)
	case err != nil:
		err = noAnswer(err)
		line(api.Line{Problem: e.problem(failureOf(err))})
		return err // on record; the answer is on its way already
	}
	whole := answerOf(answer)
	line(api.Line{Answer: &whole, Beacon: beacon.Results(e.about(), d, answer)})
	if broken != nil {
		e.o.Log.Debug("a stream did not leave", "transaction", e.transaction, "error", broken)
	}
	return nil
}

// answerOf gives the JSON that scripts read.
func answerOf(a query.Answer) api.Answer {
	whole := api.Answer{
		Transaction: a.Transaction, Granularity: string(a.Granularity),
		Exists: a.Exists(), Complete: a.Complete(), Sites: []api.Site{},
	}
	if total, ok := a.Total(); ok {
		whole.Count = &total
	}
	for _, p := range a.Parts {
		whole.Sites = append(whole.Sites, siteOf(p))
	}
	return whole
}

func siteOf(p query.Part) api.Site {
	site := api.Site{Site: string(p.Site), Node: string(p.Node), Status: string(p.Status), TookMS: p.TookMS}
	for _, d := range p.Datasets {
		site.Datasets = append(site.Datasets, api.Dataset{
			Dataset: d.Dataset, Granularity: string(d.Granularity), Exists: d.Exists,
			Count: d.Count, Precision: string(d.Precision),
		})
	}
	if p.Error != nil {
		site.Error = &api.Error{Code: p.Error.Code, Message: p.Error.Message}
	}
	return site
}
