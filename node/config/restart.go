package config

import (
	"crypto"
	"crypto/ecdsa"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/candignode/candignode/trust"
)

// atStart are the keys, or the sections, that a running node cannot change: they
// are sockets, identity, or the size of something that was made at start.
// Everything else is applied on reload.
var atStart = []string{
	"site", "data_dir",
	"federation.listen", "federation.advertise", "federation.network", "federation.node_key",
	"api", "admin", "metrics", "limits", "log.format", "sessions", "claims", "signing", "dac", "broker",
}

// Restart names the keys in which next differs from running and that need a
// restart to take effect.
func Restart(running, next *Config) []string {
	var keys []string
	for _, key := range differences("", reflect.ValueOf(*running), reflect.ValueOf(*next)) {
		if slices.ContainsFunc(atStart, func(s string) bool { return key == s || strings.HasPrefix(key, s+".") }) {
			keys = append(keys, key)
		}
	}
	return keys
}

// Changes names every key in which next differs from running, for the audit
// record of a reload. Lists are named whole, or by entry where both have it.
func Changes(running, next *Config) []string {
	return differences("", reflect.ValueOf(*running), reflect.ValueOf(*next))
}

func differences(key string, a, b reflect.Value) []string {
	switch {
	case a.Kind() == reflect.Struct:
		var keys []string
		for i := range a.NumField() {
			if name, ok := a.Type().Field(i).Tag.Lookup("yaml"); ok {
				keys = append(keys, differences(join(key, name), a.Field(i), b.Field(i))...)
			}
		}
		if keys == nil {
			keys = changedFiles(key, a.Interface(), b.Interface())
		}
		return keys
	case a.Kind() == reflect.Slice && a.Type().Elem().Kind() == reflect.Struct && a.Len() == b.Len():
		var keys []string
		for i := range a.Len() {
			keys = append(keys, differences(item(key, i), a.Index(i), b.Index(i))...)
		}
		return keys
	case a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0: // nil and [] say the same
		return nil
	case reflect.DeepEqual(a.Interface(), b.Interface()):
		return nil
	}
	return []string{key}
}

// changedFiles notices files that changed under an unchanged name. What a running
// node signs with is of the start, and nobody should think otherwise.
func changedFiles(key string, running, next any) []string {
	var keys []string
	note := func(name string, changed bool) {
		if changed {
			keys = append(keys, join(key, name))
		}
	}
	switch one := running.(type) {
	case Issuer:
		return one.changedFiles(key, next.(Issuer))
	case Signing:
		note("subjects_key", one.subjects != next.(Signing).subjects)
	case DAC:
		note("key", otherKey(one.key, next.(DAC).key))
	case Broker:
		note("key", otherSigner(one.key, next.(Broker).key))
		note("link_key", otherKey(one.linkKey, next.(Broker).linkKey))
	case BrokerClient:
		note("jwks_file", !slices.EqualFunc(one.keys, next.(BrokerClient).keys, func(a, b trust.Key) bool { return a.Thumbprint == b.Thumbprint }))
	}
	return keys
}

func otherKey(a, b *ecdsa.PrivateKey) bool {
	return a != b && (a == nil || b == nil || !a.Equal(b))
}

func otherSigner(a, b crypto.Signer) bool {
	if a == nil || b == nil {
		return a != b
	}
	public, ok := a.Public().(interface{ Equal(crypto.PublicKey) bool })
	return !ok || !public.Equal(b.Public())
}

func (i Issuer) changedFiles(key string, next Issuer) []string {
	var keys []string
	if !slices.Equal(i.jwks, next.jwks) {
		keys = append(keys, join(key, "jwks_file"))
	}
	if !slices.Equal(i.ca, next.ca) {
		keys = append(keys, join(key, "ca_file"))
	}
	if otherKey(i.clientKey, next.clientKey) {
		keys = append(keys, join(key, "client.key"))
	}
	if i.secret.Digest() != next.secret.Digest() {
		keys = append(keys, join(key, "client.secret_file"))
	}
	if i.claimToken.Digest() != next.claimToken.Digest() {
		keys = append(keys, join(key, "claims.token_file"))
	}
	return keys
}

// Keys lists every key that a configuration may hold, lists shown as
// issuers[].mode.
func Keys() []string { return keysBelow("", reflect.TypeFor[Config]()) }

func keysBelow(key string, t reflect.Type) []string {
	switch {
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return keysBelow(key+"[]", t.Elem())
	case t.Kind() != reflect.Struct:
		return []string{key}
	}
	var keys []string
	for i := range t.NumField() {
		if name, ok := t.Field(i).Tag.Lookup("yaml"); ok {
			keys = append(keys, keysBelow(join(key, name), t.Field(i).Type)...)
		}
	}
	return keys
}

// String shows a configuration's place, never its content.
func (c *Config) String() string { return fmt.Sprintf("configuration %s", c.path) }
