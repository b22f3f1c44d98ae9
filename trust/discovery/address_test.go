package discovery

import (
	"errors"
	"net/netip"
	"testing"
)

// Section 9: dial-time refusal of addresses, in every form they can take.
func TestAddresses(t *testing.T) {
	const (
		public = iota
		onlyIfAllowed
		refusedAlways
	)
	for address, want := range map[string]int{
		"1.1.1.1": public, "93.184.216.34": public, "172.15.0.1": public, "172.32.0.1": public, "100.63.255.255": public, "100.128.0.1": public,
		"2606:4700::1111": public, "2a00:1450::1": public, "64:ff9b::101:101": public, "2002:101:101::1": public, "::ffff:1.1.1.1": public,

		"10.0.0.1": onlyIfAllowed, "172.16.0.1": onlyIfAllowed, "172.31.255.255": onlyIfAllowed, "192.168.1.1": onlyIfAllowed,
		"127.0.0.1": onlyIfAllowed, "127.8.8.8": onlyIfAllowed, "100.64.0.1": onlyIfAllowed, "198.18.0.1": onlyIfAllowed,
		"::1": onlyIfAllowed, "fd00::1": onlyIfAllowed, "fc00::1": onlyIfAllowed, "fec0::1": onlyIfAllowed, "2001:db8::1": onlyIfAllowed,
		"2001::1": onlyIfAllowed, "4000::1": onlyIfAllowed,
		"::ffff:10.0.0.1": onlyIfAllowed, "::ffff:127.0.0.1": onlyIfAllowed, "64:ff9b::a00:1": onlyIfAllowed, "64:ff9b::7f00:1": onlyIfAllowed,
		"64:ff9b:1::101:101": onlyIfAllowed, "2002:7f00:1::": onlyIfAllowed, "2002:a00:1::": onlyIfAllowed, "::7f00:1": onlyIfAllowed, "::101:101": onlyIfAllowed,

		"0.0.0.0": refusedAlways, "0.1.2.3": refusedAlways, "169.254.169.254": refusedAlways, "169.254.0.1": refusedAlways,
		"168.63.129.16": refusedAlways, "100.100.100.200": refusedAlways, "192.0.0.192": refusedAlways, "fd00:ec2::254": refusedAlways,
		"224.0.0.1": refusedAlways, "255.255.255.255": refusedAlways, "240.0.0.1": refusedAlways,
		"::": refusedAlways, "fe80::1": refusedAlways, "fe80::1%eth0": refusedAlways, "ff02::1": refusedAlways,
		"::ffff:169.254.169.254": refusedAlways, "64:ff9b::a9fe:a9fe": refusedAlways, "2002:a9fe:a9fe::1": refusedAlways, "::ffff:0.0.0.0": refusedAlways,
	} {
		a := netip.MustParseAddr(address)
		strict, lax := checkAddress(a, false), checkAddress(a, true)
		if (strict == nil) != (want == public) || (lax == nil) != (want != refusedAlways) {
			t.Errorf("%s: without leave %v; with leave %v", address, strict, lax)
		}
		if strict != nil && !errors.Is(strict, ErrAddress) {
			t.Errorf("%s: %v is not ErrAddress", address, strict)
		}
	}
}

// The check is made on what is about to be dialled, whatever a name said before.
func TestControl(t *testing.T) {
	dial := control(false)
	for address, ok := range map[string]bool{"1.1.1.1:443": true, "[2606:4700::1111]:443": true, "127.0.0.1:443": false, "[::1]:443": false, "localhost:443": false, "": false} {
		if err := dial("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// Two sites that were shown the same metadata say the same, whatever its order,
// spacing or other members.
func TestMetadataDigest(t *testing.T) {
	const issuer = "https://a.example"
	read := func(body string) metadata {
		t.Helper()
		m, err := readMetadata([]byte(body), issuer)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	a := read(`{"issuer":"https://a.example","jwks_uri":"https://a.example/k","id_token_signing_alg_values_supported":["RS256","ES256"],"request_id":"1"}`)
	b := read(` {"id_token_signing_alg_values_supported": ["ES256","RS256","ES256"], "jwks_uri":"https:\/\/a.example\/k", "issuer":"https://a.example", "claims_supported":["sub"]}`)
	c := read(`{"issuer":"https://a.example","jwks_uri":"https://a.example/k","id_token_signing_alg_values_supported":["RS256"]}`)
	if a.digest != b.digest || a.digest == c.digest {
		t.Errorf("digests %s %s %s", a.digest, b.digest, c.digest)
	}
	if got := canonicalString("a\"\\\x01\u2028é\n"); got != "\"a\\\"\\\\\\u0001\u2028é\\n\"" {
		t.Errorf("canonical %s", got)
	}
	for _, body := range []string{
		`{"issuer":"https://a.example"}`,
		`{"issuer":"https://a.example","jwks_uri":"http://a.example/k"}`,
		`{"issuer":"https://a.example","jwks_uri":7}`,
		`{"issuer":"https://a.example","jwks_uri":"https://a.example/k","token_endpoint":{}}`,
		`{"issuer":"https://a.example","jwks_uri":"https://a.example/k","id_token_signing_alg_values_supported":[1]}`,
		`{"issuer":"https://a.example","jwks_uri":"https://a.example/k"}{}`,
	} {
		if m, err := readMetadata([]byte(body), issuer); err == nil {
			t.Errorf("%s gave %+v", body, m)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://a.example","jwks_uri":"https://a.example/k"}`))
	f.Add([]byte(`{"issuer":"https://a.example/","jwks_uri":"https://a.example/k"}`))
	f.Add([]byte(`{"issuer":"https://a.example","jwks_uri":"https://u:p@a.example/k#f"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := readMetadata(body, "https://a.example")
		if err == nil && checkURL(m.jwksURI) != nil {
			t.Errorf("jwks_uri %q was taken", m.jwksURI)
		}
	})
}

func FuzzAddress(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte{0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 169, 254, 169, 254})
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		if checkAddress(a, false) == nil && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || !a.Unmap().IsGlobalUnicast()) {
			t.Errorf("%s may be dialled", a)
		}
	})
}
