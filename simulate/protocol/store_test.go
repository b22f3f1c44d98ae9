package protocol

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/candignode/candignode/trust/audit"
)

// disk is one site's store. What SaveEvidence returned nil for is durable; a crash falls on
// either side of a write, and nothing is written after it.
type disk struct {
	mu      sync.Mutex
	entries map[string][]byte
	crash   string // at the next write: "before" or "after" it; "gone": it has happened
	full    bool
}

var errDisk = errors.New("the disk took nothing")

func newDisk() *disk { return &disk{entries: map[string][]byte{}} }

func (d *disk) LoadEvidence(each func(string, []byte) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(d.entries)) {
		if err := each(k, d.entries[k]); err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) SaveEvidence(_ context.Context, entries map[string][]byte, _ ...audit.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.crash == "before"
	if d.crash != "" {
		defer func() { d.crash = "gone" }()
	}
	if d.full || before || d.crash == "gone" {
		return errDisk
	}
	for k, v := range entries {
		if v == nil {
			delete(d.entries, k)
		} else {
			d.entries[k] = bytes.Clone(v)
		}
	}
	if d.crash == "after" {
		return errDisk
	}
	return nil
}

// set changes how the disk behaves.
func (d *disk) set(crash string, full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crash, d.full = crash, full
}

func (d *disk) copied() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &disk{entries: maps.Clone(d.entries)}
}

// held is what a disk holds of one author, read without the code under test.
type held struct {
	Node   string `json:"node"`
	Bundle *wire  `json:"bundle"`
	Fork   []string
}

// authors reads every author that stands on the disk.
func (d *disk) authors() map[string]held {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]held{}
	for k, v := range d.entries {
		if name, ok := strings.CutPrefix(k, "author/"); ok {
			var h held
			if json.Unmarshal(v, &h) == nil {
				all[name] = h
			}
		}
	}
	return all
}

// has tells whether the site's own newest head on the disk is this one.
func (d *disk) has(head []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.Contains(d.entries["own"], head)
}
