package browse

import (
	"context"
	"errors"
	"fmt"
	"os"

	tea "charm.land/bubbletea/v2"

	"relpack/runner/du"
	"relpack/runner/fault"
)

// Options say what to begin with.
type Options struct {
	Zoid          int64 // of an object
	Sort          du.Key
	Number, Count int // of the storage, and of all that are shown
	// Why is the text of "relpack why" about an object.
	Why func(ctx context.Context, zoid int64) (string, error)
}

// ErrEnded is that somebody wants to see no other storage either.
var ErrEnded = errors.New("ended")

// Run shows what was measured until somebody has seen enough.
func Run(ctx context.Context, b *du.Browser, o Options) error {
	top, err := b.Top(o.Zoid)
	if err != nil {
		return err
	}
	name, err := b.FullName(ctx, o.Zoid)
	if err != nil {
		return err
	}
	if name == "" {
		name = fmt.Sprintf("<zoid %d>", o.Zoid)
	}
	m := New(ctx, b, top, name, o.Sort)
	m.Storage, m.Number, m.Count, m.Why = b.Report.Storage, o.Number, o.Count, o.Why
	m.Blobs, m.History = b.Report.Blobs.Where != "", b.Report.KeepsHistory
	m.UpTo, m.Uncertain = b.Report.GraphUpTo(), b.Report.Uncertain
	if err := forgetTyped(os.Stdin); err != nil {
		return fmt.Errorf("look at the terminal: %w", err)
	}
	_, err = tea.NewProgram(m, tea.WithContext(ctx), tea.WithoutSignalHandler()).Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return fault.Interrupted
	}
	if err == nil && m.ended {
		return ErrEnded
	}
	return err
}
