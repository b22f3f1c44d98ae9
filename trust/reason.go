package trust

// Reason is a stable code for why a passport or visa was not used; scripts read
// them in POST /v1/whoami. Codes may be added, never renamed.
type Reason string

// The reasons. The sentence for a researcher stands in Detail.
const (
	ReasonMalformed           Reason = "malformed"             // not a compact JWS, or not strict JSON
	ReasonTooLarge            Reason = "too_large"             // over a limit
	ReasonTooMany             Reason = "too_many"              // more visas or passports than are read
	ReasonWrongType           Reason = "wrong_type"            // header typ does not fit the slot
	ReasonAlgorithm           Reason = "algorithm"             // not RS256 or ES256, or not the key's
	ReasonHeader              Reason = "header"                // crit, b64, zip, missing kid and the like
	ReasonUntrustedIssuer     Reason = "untrusted_issuer"      // not configured for this
	ReasonUnknownKey          Reason = "unknown_key"           // no believed key with that kid
	ReasonSignature           Reason = "bad_signature"         // does not verify
	ReasonMissingClaim        Reason = "missing_claim"         // a required claim is absent
	ReasonBadClaim            Reason = "bad_claim"             // a claim has the wrong form
	ReasonBadTime             Reason = "bad_time"              // a time claim is not a sane NumericDate
	ReasonExpired             Reason = "expired"               // now is at or after exp
	ReasonNotYetValid         Reason = "not_yet_valid"         // iat or nbf lies in the future
	ReasonAudience            Reason = "wrong_audience"        // aud names somebody else
	ReasonUnbound             Reason = "unbound"               // no aud where one is needed
	ReasonVisaForm            Reason = "visa_form"             // neither or both visa forms
	ReasonAccessTokenVisa     Reason = "access_token_visa"     // the deprecated form, not enabled
	ReasonUnlistedJKU         Reason = "unlisted_jku"          // jku is not listed for the issuer
	ReasonConditions          Reason = "conditions"            // conditions unmet or not understood
	ReasonTypeOutOfScope      Reason = "type_out_of_scope"     // issuer not trusted for this visa type
	ReasonUntrustedSource     Reason = "untrusted_source"      // issuer not trusted for this source
	ReasonValueOutOfScope     Reason = "value_out_of_scope"    // value has none of the allowed prefixes
	ReasonUnsupportedToken    Reason = "unsupported_token"     // a kind of token this node does not take
	ReasonUnsupportedVisaType Reason = "unsupported_visa_type" // a custom type that is not enabled
	ReasonRevoked             Reason = "revoked"               // this site's operator, or its issuer, took it back
	ReasonPolling             Reason = "not_confirmed"         // an access token visa that its issuer did not confirm
	ReasonLinkAuthority       Reason = "link_authority"        // a link by an issuer that may not make it
	ReasonLinkValue           Reason = "link_value"            // a LinkedIdentities value that cannot be read
	ReasonNotProven           Reason = "not_proven"            // bound to a key whose possession was not shown
	ReasonProof               Reason = "bad_proof"             // a DPoP proof that does not hold
	ReasonScope               Reason = "scope"                 // an access token without the scopes that are needed
	ReasonProvider            Reason = "provider"              // the issuer could not be asked, or gave nothing usable
	ReasonSession             Reason = "session"               // no such session, or it has ended
)
