package dac

import "github.com/candignode/candignode/trust"

// Remembered tells for how many people visas are remembered.
func (d *Desk) Remembered() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.memory)
}

// RememberedVisas tells how many of one person's are.
func (d *Desk) RememberedVisas(of trust.Identity) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.memory[of])
}
