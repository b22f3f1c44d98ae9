package dac

import "time"

// Every bound, with its reason.
const (
	// defaultVisaTTL is short, because a visa outlasts its withdrawn grant by as much
	// (passports.md, row 115). maxVisaTTL is what an operator may make of it.
	defaultVisaTTL = time.Hour
	maxVisaTTL     = 24 * time.Hour
	// minVisaTTL leaves time for the way, and for clocks that differ.
	minVisaTTL = time.Minute

	// defaultKeep makes a burst of questions one visa and one record.
	defaultKeep = 5 * time.Minute

	// maxPeople bounds the memory: an entry with ten visas takes about 12 kB. A site has
	// a hundred users, and a few thousand at brokers that ask often.
	maxPeople = 2000

	// maxVisas is how many visas one person gets: a passport has room for 200, and
	// other committees' must fit too.
	maxVisas = 100

	// claimsTTL is how long a claims JWT lasts: it is fetched anew for each sign-in.
	claimsTTL = 5 * time.Minute

	// recording bounds the wait for the record of visas.
	recording = 10 * time.Second
)
