package discovery

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/candignode/candignode/trust"
)

// compared are the members of the metadata that sites compare: what tells where
// an issuer lives and how it signs. The rest differs between front ends of one
// issuer and between versions of its software (trust-protocol.md, section 5).
var compared = []string{
	"issuer", "jwks_uri",
	"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "introspection_endpoint",
	"revocation_endpoint", "end_session_endpoint", "device_authorization_endpoint",
	"id_token_signing_alg_values_supported", "userinfo_signing_alg_values_supported",
	"token_endpoint_auth_signing_alg_values_supported",
}

// digestOf hashes the compared members as RFC 8785 JSON, lists sorted, so that two
// sites that were shown the same say the same.
func digestOf(all map[string]any) (trust.Digest, error) {
	members := map[string]string{}
	for _, name := range compared {
		switch v := all[name].(type) {
		case string:
			members[name] = canonicalString(v)
		case []any:
			list, err := canonicalList(name, v)
			if err != nil {
				return trust.Digest{}, err
			}
			members[name] = list
		// Absent or null: sites must not differ over which.
		case nil:
		default:
			return trust.Digest{}, fmt.Errorf("its discovery document has a %s that is neither text nor a list", name)
		}
	}
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(members)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(canonicalString(name) + ":" + members[name])
	}
	b.WriteByte('}')
	return trust.DigestOf([]byte(b.String())), nil
}

// canonicalList writes a list as a set. What is no text is refused rather than skipped, or
// two documents that differ there would have one digest.
func canonicalList(name string, values []any) (string, error) {
	if len(values) > maxMetadataList {
		return "", fmt.Errorf("its discovery document lists more than %d values of %s", maxMetadataList, name)
	}
	list := make([]string, 0, len(values))
	for _, v := range values {
		s, ok := v.(string)
		if !ok {
			return "", fmt.Errorf("its discovery document lists something that is not text in %s", name)
		}
		list = append(list, canonicalString(s))
	}
	// The order of algorithms means nothing, and front ends of one issuer shuffle it.
	slices.Sort(list)
	return "[" + strings.Join(slices.Compact(list), ",") + "]", nil
}

// canonicalString writes a JSON string as RFC 8785, section 3.2.2.2, does: nothing
// escaped that need not be.
func canonicalString(s string) string {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch escaped, special := short[r]; {
		case special:
			b.WriteString(escaped)
		case r < 0x20:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.Write(utf8.AppendRune(nil, r))
		}
	}
	b.WriteByte('"')
	return b.String()
}
