package variants

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"os"
	"time"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/query"
)

// formatVersion changes whenever an older program would misread the file.
const formatVersion = "1"

// Names in a release file.
const (
	bucketMeta     = "meta"
	bucketVariants = "variants"
	keyFormat      = "format"
	keyDescription = "description"
	keyDigest      = "digest" // SHA-256 of the description
)

// description is the JSON of a release file.
type description struct {
	Dataset  string         `json:"dataset"`
	Release  string         `json:"release"`
	Assembly query.Assembly `json:"assembly"`
	Created  time.Time      `json:"created"`
	Variants int64          `json:"variants"`
	// LongestRef has the length of the longest ref of each chromosome, by its
	// canonical name: so far to the left a variant may begin that overlaps a range.
	LongestRef map[string]int `json:"longest_ref"`
	Content    string         `json:"content"` // SHA-256, hex; see contentDigest
	sampleTable
}

// releaseDigits is how much of the content digest names a release: 64 bits keep
// the releases of one dataset apart for ever.
const releaseDigits = 16

// contentDigest sums up what a release says, not when and in which pages.
type contentDigest struct {
	sum  hash.Hash
	head []byte
}

func newContentDigest(d description) (*contentDigest, error) {
	table, err := json.Marshal(d.sampleTable)
	if err != nil {
		return nil, err
	}
	c := &contentDigest{sum: sha256.New()}
	for _, part := range []string{"candignode variants", formatVersion, d.Dataset, string(d.Assembly), string(table)} {
		c.add([]byte(part), nil)
	}
	return c, nil
}

// add takes in one pair; lengths keep neighbours apart.
func (c *contentDigest) add(key, body []byte) {
	c.head = binary.AppendUvarint(c.head[:0], uint64(len(key)))
	c.head = binary.AppendUvarint(c.head, uint64(len(body)))
	c.sum.Write(c.head)
	c.sum.Write(key)
	c.sum.Write(body)
}

func (c *contentDigest) hex() string { return hex.EncodeToString(c.sum.Sum(nil)) }

// fileWriter writes a release file. Pairs come in key order, each key once.
type fileWriter struct {
	db      *bbolt.DB
	tx      *bbolt.Tx
	pairs   *bbolt.Bucket
	values  []byte // of this transaction: bbolt keeps slices until it commits
	digest  *contentDigest
	about   description
	written func(int64)
	step    func(string)
}

func newFileWriter(path string, about description) (*fileWriter, error) {
	about.LongestRef = make(map[string]int)
	digest, err := newContentDigest(about)
	if err != nil {
		return nil, err
	}
	// Nobody reads this file before it is complete and synced as a whole, so that
	// no transaction needs a sync of its own, nor a list of free pages.
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		NoSync: true, NoGrowSync: true, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, NoStatistics: true,
	})
	if err != nil {
		return nil, fmt.Errorf("release file: %w", err)
	}
	return &fileWriter{db: db, digest: digest, about: about, values: make([]byte, 0, batchBytes)}, nil
}

func (w *fileWriter) begin() (err error) {
	if w.tx, err = w.db.Begin(true); err != nil {
		return err
	}
	w.pairs, err = w.tx.CreateBucketIfNotExists([]byte(bucketVariants))
	if err == nil {
		w.pairs.FillPercent = 1 // pairs come in order and nothing is put between them
	}
	return err
}

func (w *fileWriter) commit() error {
	if w.tx == nil {
		return nil
	}
	tx := w.tx
	w.tx, w.pairs, w.values = nil, nil, w.values[:0]
	if err := tx.Commit(); err != nil {
		return err
	}
	w.step("batch")
	return nil
}

// put adds one variant.
func (w *fileWriter) put(key, body []byte) error {
	p, err := parseKey(key)
	if err != nil {
		return err
	}
	if len(w.values)+checksumBytes+len(body) > cap(w.values) {
		if err := w.commit(); err != nil {
			return fmt.Errorf("release file: %w", err)
		}
	}
	if w.tx == nil {
		if err := w.begin(); err != nil {
			return fmt.Errorf("release file: %w", err)
		}
	}
	from := len(w.values)
	w.values = appendValue(w.values, key, body)
	if err := w.pairs.Put(key, w.values[from:]); err != nil {
		return fmt.Errorf("release file: %w", err)
	}
	w.digest.add(key, body)
	chrom := chromName(p.chrom)
	w.about.LongestRef[chrom] = max(w.about.LongestRef[chrom], len(p.ref))
	w.about.Variants++
	w.written(w.about.Variants)
	return nil
}

// finish writes the description, cuts off the room that bbolt reserved, and
// syncs. The file is closed whatever happens.
func (w *fileWriter) finish() (about description, err error) {
	w.about.Content = w.digest.hex()
	w.about.Release = w.about.Content[:releaseDigits]
	path := w.db.Path()
	size, err := w.describe()
	if err = errors.Join(err, w.close()); err != nil {
		return w.about, fmt.Errorf("release file: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return w.about, fmt.Errorf("release file: %w", err)
	}
	// Read-only from now on: the node needs no more, and it stops accidents.
	err = errors.Join(file.Truncate(size), file.Chmod(0o440), file.Sync(), file.Close())
	if err != nil {
		return w.about, fmt.Errorf("release file: %w", err)
	}
	w.step("synced")
	return w.about, nil
}

// describe ends the last transaction and gives the bytes in use.
func (w *fileWriter) describe() (size int64, err error) {
	text, err := json.Marshal(w.about)
	if err != nil {
		return 0, err
	}
	if err := w.commit(); err != nil {
		return 0, err
	}
	err = w.db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket([]byte(bucketMeta))
		if err != nil {
			return err
		}
		sum := sha256.Sum256(text)
		return errors.Join(
			meta.Put([]byte(keyFormat), []byte(formatVersion)),
			meta.Put([]byte(keyDescription), text),
			meta.Put([]byte(keyDigest), sum[:]))
	})
	if err != nil {
		return 0, err
	}
	err = w.db.View(func(tx *bbolt.Tx) error {
		size = tx.Size()
		return nil
	})
	return size, err
}

// close gives up an open transaction.
func (w *fileWriter) close() error {
	if w.tx != nil {
		tx := w.tx
		w.tx = nil
		return errors.Join(tx.Rollback(), w.db.Close())
	}
	return w.db.Close()
}

// write drains the sorter into a release file at path.
func write(ctx context.Context, w *fileWriter, s *sorter) (description, error) {
	if err := s.each(ctx, w.put); err != nil {
		return w.about, errors.Join(err, w.close())
	}
	return w.finish()
}
