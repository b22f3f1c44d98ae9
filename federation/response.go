package federation

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// response is what one site says to a forwarded question: its own part, without
// words. Codes travel; the sentences are the reader's own.
type response struct {
	Site     trust.SiteName        `json:"site,omitempty"`
	Node     trust.NodeID          `json:"node,omitempty"`
	Status   query.Status          `json:"status"`
	Code     string                `json:"code,omitempty"`
	Datasets []query.DatasetAnswer `json:"datasets,omitempty"`
}

// The two responses that say nothing. Whatever was wrong with a question, its
// sender reads the first, byte for byte; why stands in the target's audit log.
// The second says that the target is at its bound for this peer.
const (
	refusedResponse = `{"status":"refused"}`
	busyResponse    = `{"status":"refused","code":"busy"}`
)

// The codes of parts that this package makes; scripts read them.
const (
	codeTimeout     = "timeout"
	codeUnreachable = "unreachable"
	codeBadVersion  = "bad_version"
	codeRefused     = "refused"
	codeBusy        = "busy"
	codeBadResponse = "bad_response" // what came is not a response to this question
	codeNoResponse  = "no_response"  // the connection stands, and the call failed
	codeNoPassport  = "no_passport"
	codeNoBroker    = "no_broker"
	codeDenied      = "denied"
	codeNothing     = "nothing"
	codeError       = "error"

	// What a site may say about its own failure. Its other codes are for its
	// own callers, and read as codeError here.
	codePolicyError = "policy_error"
	codeSourceError = "source_error"
	codeAccessEnded = "access_ended"
)

// sentence says what a code means to the caller.
func sentence(code string) string {
	switch code {
	case codeTimeout:
		return "the site did not answer in time"
	case codeUnreachable:
		return "there is no connection to the site"
	case codeBadVersion:
		return "the site runs a version that this one cannot talk to"
	case codeRefused:
		return "the site refused the question; its operator can see why in its audit log"
	case codeBusy:
		return "the site is answering as many questions of this site as it takes at once; ask again"
	case codeBadResponse:
		return "the site sent something that is not an answer to this question"
	case codeNoResponse:
		return "the site was asked and gave no answer"
	case codeNoPassport:
		return "what you signed in with stays at this site, and it has no passport of yours to show to another: ask with a passport, or ask this site's operator for token exchange"
	case codeNoBroker:
		return "your provider gave no passport for the site; ask again later, or sign in again"
	case codeDenied:
		return "the site's policy gives you nothing for this question"
	case codeNothing:
		return "the site serves no such data"
	case codePolicyError:
		return "the site could not decide about the question"
	case codeSourceError:
		return "the site could not read its data"
	case codeAccessEnded:
		return "your access ended while the site was counting; renew it and ask again"
	}
	return "the site could not answer"
}

// failed makes the part of a site that gave no data.
func failed(site trust.SiteName, node trust.NodeID, status query.Status, code string) query.Part {
	return query.FailedPart(site, node, status, code, sentence(code))
}

// encodeResponse writes this site's own part.
func encodeResponse(p query.Part) ([]byte, error) {
	r := response{Site: p.Site, Node: p.Node, Status: p.Status, Datasets: p.Datasets}
	if p.Error != nil {
		r.Code = p.Error.Code
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode the response: %w", err)
	}
	if len(b) > MaxResponse {
		return nil, fmt.Errorf("the response has %d bytes, at most %d travel", len(b), MaxResponse)
	}
	return b, nil
}

// errResponse is wrapped by every error about a peer's response. Its text is
// for this site's operator, not for the caller.
var errResponse = errors.New("not an answer to this question")

// readResponse makes a peer's part from what the peer sent. A peer may lie about
// its own data, which nobody can see from here; it cannot speak for another
// site, say more than was asked, contradict itself, or put words before the
// caller. Site and node are those of the pinned connection.
func readResponse(b []byte, peer Peer, request query.Request) (query.Part, error) {
	var r response
	if len(b) > MaxResponse {
		return query.Part{}, fmt.Errorf("%w: %d bytes, at most %d", errResponse, len(b), MaxResponse)
	}
	if err := jose.Unmarshal(b, &r); err != nil {
		return query.Part{}, fmt.Errorf("%w: %w", errResponse, err)
	}
	if r.Status == query.Refused {
		code := codeRefused
		if r.Code == codeBusy {
			code = codeBusy
		}
		return failed(peer.Site, peer.Node, query.Refused, code), nil
	}
	// The node says who speaks. What a site calls itself may differ from its name here.
	if r.Node != peer.Node {
		return query.Part{}, fmt.Errorf("%w: it speaks for site %.80q, node %.80q", errResponse, r.Site, r.Node)
	}
	if r.Status != query.OK && len(r.Datasets) > 0 {
		return query.Part{}, fmt.Errorf("%w: status %.40q with datasets", errResponse, r.Status)
	}
	switch r.Status {
	case query.OK:
		if err := checkDatasets(r.Datasets, request); err != nil {
			return query.Part{}, err
		}
		return query.Part{Site: peer.Site, Node: peer.Node, Status: query.OK, Datasets: r.Datasets}, nil
	case query.Denied:
		return failed(peer.Site, peer.Node, r.Status, codeDenied), nil
	case query.Nothing:
		return failed(peer.Site, peer.Node, r.Status, codeNothing), nil
	case query.Timeout:
		return failed(peer.Site, peer.Node, r.Status, codeTimeout), nil
	case query.Failed:
		switch r.Code {
		case codePolicyError, codeSourceError, codeAccessEnded:
		default:
			r.Code = codeError
		}
		return failed(peer.Site, peer.Node, r.Status, r.Code), nil
	}
	// Unreachable and BadVersion are what this node finds out by itself.
	return query.Part{}, fmt.Errorf("%w: status %.40q", errResponse, r.Status)
}

// checkDatasets checks a peer's datasets against the question and brings them
// into the order in which answers list them.
func checkDatasets(datasets []query.DatasetAnswer, request query.Request) error {
	if len(datasets) == 0 {
		return fmt.Errorf("%w: status ok without a dataset", errResponse)
	}
	if len(datasets) > query.MaxDatasets {
		return fmt.Errorf("%w: %d datasets, at most %d", errResponse, len(datasets), query.MaxDatasets)
	}
	slices.SortFunc(datasets, func(a, b query.DatasetAnswer) int { return strings.Compare(a.Dataset, b.Dataset) })
	for i, d := range datasets {
		if i > 0 && datasets[i-1].Dataset == d.Dataset {
			return fmt.Errorf("%w: dataset %.80q twice", errResponse, d.Dataset)
		}
		if err := checkDataset(d, request); err != nil {
			return err
		}
	}
	return nil
}

func checkDataset(d query.DatasetAnswer, request query.Request) error {
	if query.ValidDatasetID(d.Dataset) != nil {
		return fmt.Errorf("%w: %.80q is not a dataset id", errResponse, d.Dataset)
	}
	if len(request.Datasets) > 0 && !slices.Contains(request.Datasets, d.Dataset) {
		return fmt.Errorf("%w: dataset %.80q was not asked for", errResponse, d.Dataset)
	}
	switch d.Granularity {
	case query.Boolean:
		if d.Count != nil || d.Precision != "" {
			return fmt.Errorf("%w: dataset %.80q: boolean with a count", errResponse, d.Dataset)
		}
		return nil
	case query.Count:
	default:
		return fmt.Errorf("%w: dataset %.80q: granularity %.40q", errResponse, d.Dataset, d.Granularity)
	}
	switch {
	case request.Granularity.Rank() < query.Count.Rank():
		return fmt.Errorf("%w: dataset %.80q: a count, and %s was asked", errResponse, d.Dataset, request.Granularity)
	case d.Count == nil:
		return fmt.Errorf("%w: dataset %.80q: no count", errResponse, d.Dataset)
	case *d.Count < 0 || *d.Count > maxCount:
		return fmt.Errorf("%w: dataset %.80q: count %d", errResponse, d.Dataset, *d.Count)
	case d.Exists != (*d.Count > 0):
		return fmt.Errorf("%w: dataset %.80q: exists is %t and the count %d", errResponse, d.Dataset, d.Exists, *d.Count)
	case d.Precision != query.Exact && d.Precision != query.Thresholded:
		return fmt.Errorf("%w: dataset %.80q: precision %.40q", errResponse, d.Dataset, d.Precision)
	}
	return nil
}
