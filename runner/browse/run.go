package browse

import (
	"context"
	"errors"
	"fmt"

	tea "charm.land/bubbletea/v2"

	"relpack/runner/du"
	"relpack/runner/fault"
)

// Run shows what was measured until somebody has seen enough. It begins with an object.
func Run(ctx context.Context, b *du.Browser, zoid int64, why func(ctx context.Context, zoid int64) (string, error)) error {
	top, err := b.Top(zoid)
	if err != nil {
		return err
	}
	name, err := b.FullName(ctx, zoid)
	if err != nil {
		return err
	}
	if name == "" {
		name = fmt.Sprintf("<zoid %d>", zoid)
	}
	m := New(ctx, b, top, name)
	m.Storage, m.Blobs, m.Why = b.Report.Storage, b.Report.Blobs.Where != "", why
	_, err = tea.NewProgram(m, tea.WithContext(ctx), tea.WithoutSignalHandler()).Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return fault.Interrupted
	}
	return err
}
