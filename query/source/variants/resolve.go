package variants

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/query"
)

// Resolve counts the distinct individuals that carry, heterozygous or
// homozygous, any variant that q names, and these variants. A question for another
// assembly is ErrAssembly: positions would mean something else. The count is for
// query/privacy and never for a caller as it is.
func (r *Release) Resolve(ctx context.Context, q query.VariantQuery) (query.Raw, error) {
	if err := q.Validate(); err != nil {
		return query.Raw{}, err
	}
	if q.Assembly != r.about.Assembly {
		return query.Raw{}, fmt.Errorf("%w: dataset %s is on %s, the question on %s", ErrAssembly, r.about.Dataset, r.about.Assembly, q.Assembly)
	}
	if err := ctx.Err(); err != nil {
		return query.Raw{}, err
	}
	found := r.scratch.Get().(*marks)
	defer r.scratch.Put(found)
	clear(found.samples)
	var n int64
	err := r.view(func(tx *bbolt.Tx) (err error) {
		pairs := tx.Bucket([]byte(bucketVariants))
		if q.IsRange() {
			n, err = r.scan(ctx, pairs.Cursor(), q, found.samples)
		} else {
			n, err = r.point(pairs, q, found.samples)
		}
		return err
	})
	if err != nil {
		return query.Raw{}, err
	}
	return query.Raw{Individuals: r.about.countIndividuals(found.samples, found.individuals), Variants: n}, nil
}

// point marks the carriers of one allele.
func (r *Release) point(pairs *bbolt.Bucket, q query.VariantQuery, carriers bitset) (int64, error) {
	start, ref, alt := query.Minimal(q.Start, q.Ref, q.Alt)
	var room [64]byte // most keys have 8 bytes
	key := appendKey(room[:0], chromCode(q.Chrom), start, ref, alt)
	value := pairs.Get(key)
	if value == nil {
		return 0, nil
	}
	return 1, r.mark(key, value, carriers)
}

func (r *Release) mark(key, value []byte, carriers bitset) error {
	body, err := bodyOf(key, value)
	if err != nil {
		return err
	}
	return addBody(body, len(r.about.Samples), carriers, carriers)
}

// scan marks the carriers of all variants that overlap the range. A variant
// covers as many bases as its ref has; an insertion covers the base it is noted at.
func (r *Release) scan(ctx context.Context, c *bbolt.Cursor, q query.VariantQuery, carriers bitset) (n int64, err error) {
	chrom := chromCode(q.Chrom)
	wanted := narrow(q)
	var room [keyHead]byte
	first := appendHead(room[:0], chrom, max(0, q.Start-int64(r.about.LongestRef[q.Chrom])+1))
	seen := 0
	for key, value := c.Seek(first); len(key) >= keyHead && key[0] == chrom; key, value = c.Next() {
		start := int64(binary.BigEndian.Uint32(key[1:]))
		if start >= q.End {
			break
		}
		if seen++; seen%checkEvery == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		p, err := parseKey(key)
		if err != nil {
			return 0, err
		}
		if start+int64(len(p.ref)) <= q.Start || !wanted.match(p) {
			continue
		}
		if err := r.mark(key, value, carriers); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// sequences narrows a range question; an empty one is any.
type sequences struct{ ref, alt []byte }

// narrow brings alleles that are both given into the form of the keys. A single
// one cannot be trimmed and is compared as it stands.
func narrow(q query.VariantQuery) sequences {
	if q.Ref != "" && q.Alt != "" {
		_, q.Ref, q.Alt = query.Minimal(0, q.Ref, q.Alt)
	}
	return sequences{[]byte(q.Ref), []byte(q.Alt)}
}

func (s sequences) match(p place) bool {
	return (len(s.ref) == 0 || bytes.Equal(s.ref, p.ref)) && (len(s.alt) == 0 || bytes.Equal(s.alt, p.alt))
}
