package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// schema is the version of the stored form. A store with a newer one is refused; an older one would be migrated here.
const schema = 1

// envelope is what a record's value is: a checksummed body.
type envelope struct {
	Schema   int             `json:"schema"`
	Checksum string          `json:"checksum"` // SHA-256 of Body's bytes, in hex
	Body     json.RawMessage `json:"body"`
}

// seal wraps a value.
func seal(body any) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	// What json.Marshal makes of an envelope, which would parse the body once more.
	out := make([]byte, 0, len(b)+128)
	out = fmt.Appendf(out, `{"schema":%d,"checksum":"%s","body":`, schema, checksum(b))
	return append(append(out, b...), '}'), nil
}

// unseal checks what seal wrote and decodes it into body.
func unseal(data []byte, body any) error {
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("decode record: %w", err)
	}
	if e.Schema > schema {
		return fmt.Errorf("record has schema %d, this lbd knows %d (it was written by a newer lbd: start that one)", e.Schema, schema)
	}
	if got := checksum(e.Body); got != e.Checksum {
		return fmt.Errorf("record has checksum %.16s, its content %.16s", e.Checksum, got)
	}
	d := json.NewDecoder(bytes.NewReader(e.Body))
	d.DisallowUnknownFields()
	if err := d.Decode(body); err != nil {
		return fmt.Errorf("decode record: %w", err)
	}
	return nil
}

func checksum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
