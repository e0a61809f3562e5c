package graph

import (
	"context"
	"fmt"

	"relpack/runner/fault"
)

// Reach settles the suspects, a transaction a step.
func (p *Packer) Reach(ctx context.Context) error {
	for more := true; more; {
		if err := p.Conn.QueryRow(ctx, "SELECT relpack.reach_step()").Scan(&more); err != nil {
			return fmt.Errorf("settle what is reachable: %w", err)
		}
		if p.Stopped() && more {
			return fault.Interrupted
		}
	}
	return nil
}

// KeepShallow shapes the tree again where it has become deep.
func (p *Packer) KeepShallow(ctx context.Context) error {
	var deep bool
	if err := p.Conn.QueryRow(ctx, "SELECT relpack.reshape_if_deep()").Scan(&deep); err != nil {
		return fmt.Errorf("look how deep the tree is: %w", err)
	}
	if !deep {
		return nil
	}
	return p.Reach(ctx)
}
