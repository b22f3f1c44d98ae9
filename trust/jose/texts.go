package jose

// Texts is a member that is one JSON string or an array of them, as aud is (RFC 7519,
// section 4.1.3). null, numbers and the rest are errors. An empty array is there, and
// holds nothing.
type Texts struct {
	Values         []string
	Present, Array bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Texts) UnmarshalJSON(data []byte) error {
	t.Present, t.Array = true, data[0] == '['
	if !t.Array {
		var one Text
		err := Unmarshal(data, &one)
		t.Values = []string{one.Value}
		return err
	}
	var several []Text
	if err := Unmarshal(data, &several); err != nil {
		return err
	}
	for _, text := range several {
		t.Values = append(t.Values, text.Value)
	}
	return nil
}
