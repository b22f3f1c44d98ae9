// Package beacon reads questions in Beacon v2's JSON and URL parameters, and
// writes answers, errors and descriptions as Beacon v2 documents (schemas of
// 2.1.1, with countPrecision of 2.2). It is pure: bytes and values in, values
// out.
//
// A parameter that is not served is an error that names it: nothing that would
// have narrowed a question is dropped silently. Nothing here repeats a token,
// wherever in a request it stood.
//
// What Beacon leaves open is decided so:
//   - resultsCount holds the count where one was given. At boolean granularity,
//     and for a site without an answer, it is 0: results is empty, and no number is
//     made up. info.granularity says which it is.
//   - meta.returnedGranularity is the highest granularity that any dataset gave,
//     and boolean if none gave an answer. Each result set's info has its own.
//   - A site that answered with no dataset, for whatever reason, is a result set
//     of its own with the site's name as id, whatever includeResultsetResponses
//     says: denied and holding nothing are listed alike.
package beacon

// APIVersion is the Beacon version that documents follow.
const APIVersion = "v2.1.1"

// Document is a value that encodes as one Beacon document.
type Document any
