package api

// Bounds on what a node may send back to this client.
const (
	// maxLineBytes of one line of a stream: the last one holds the answer twice,
	// with 500 sites of 100 datasets at about 200 bytes each as the worst case
	// in sight, and room.
	maxLineBytes = 32 << 20
	// maxErrorBytes of an error answer, a sentence and its wrapping, and of other short
	// ones.
	maxErrorBytes = 64 << 10
	// maxLines of one stream: more than the sites that one answer may have.
	maxLines = 1000
)
