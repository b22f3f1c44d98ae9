package dac

// Remembered tells for how many people visas are remembered.
func (d *Desk) Remembered() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.memory)
}
