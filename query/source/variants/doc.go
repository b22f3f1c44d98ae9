// Package variants keeps the genotypes of one dataset release in one immutable
// file and counts carriers in it. It implements query.Source.
//
// Import reads VCF files (plain, gzip or bgzf) into a release file; Open serves
// it. Invariants, in the order in which they matter:
//
//   - A release file is complete or absent. Everything is written into a working
//     directory of its own, read back and compared, synced, and only then renamed.
//   - Nothing is lost in silence. Input that cannot be understood stops the import
//     with file, line and reason; alleles that are understood and not served are
//     counted by reason in Imported.Skipped.
//   - A count is of distinct individuals and is right or an error. Each value
//     carries a checksum over its key and itself; Verify compares the whole file.
//   - The same data give the same release id, whatever the order of files and
//     rows, and the time of import is no part of it.
//
// The file is a bbolt database with two buckets. "meta" holds the format version,
// a JSON description and its digest. "variants" holds one pair per variant:
//
//	key    chromosome (1 byte, 1-22, X 23, Y 24, MT 25), start (4 bytes, big
//	       endian, 0-based), ref, '>', alt; in the form of query.Minimal
//	value  CRC-32C of key and body (4 bytes, little endian), then the body:
//	       the set of heterozygous and the set of homozygous samples
//	set    uvarint of 2*size, then the gaps between sample indices as uvarints; or
//	       uvarint of 2*size+1, then one bit for each sample of the release;
//	       whichever is smaller
//
// Sample indices follow the sorted names of all samples of the release.
package variants
