// Package providers holds a node against identity providers that others wrote:
// LemonLDAP::NG as the OpenID provider, and SimpleSAMLphp behind it as an
// institution's SAML identity provider, which is the shape of the Canadian Access
// Federation. It has tests only. They start both programs on loopback, in a directory
// of their own, and skip with the reason where the Debian packages are missing
// (docs/decisions/0007-real-providers-in-tests.md).
package providers
