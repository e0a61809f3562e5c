package pack

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"relpack/runner/fault"
	"relpack/runner/inventory"
)

// classesOf tells of which classes these objects are: what the graph does not know, their
// old revisions do, before they go.
func (t *trimming) classesOf(ctx context.Context, zoids, tids []int64) (map[int64]string, error) {
	classes := make(map[int64]string, min(len(zoids), 1000))
	if err := t.Retry(ctx, "look for the classes of old revisions", func() error {
		rows, err := t.Conn.Query(ctx, "SELECT zoid, coalesce(class, ''), head FROM relpack.trim_classes($1, $2)", binary, zoids, tids)
		if err != nil {
			return err
		}
		var zoid int64
		var class string
		var head pgtype.DriverBytes
		_, err = pgx.ForEachRow(rows, []any{&zoid, &class, &head}, func() error {
			if class == "" {
				class = t.labels.Of(head)
			}
			classes[zoid] = class
			return nil
		})
		return err
	}); err != nil {
		return nil, err
	}
	return classes, nil
}

// addClasses adds to what goes, or would.
func (t *trimming) addClasses(classes map[int64]string, zoids, sizes []int64) {
	if len(zoids) == 0 {
		return
	}
	if t.classes == nil {
		t.classes = map[string]inventory.ClassHistory{}
	}
	for i, zoid := range zoids {
		class := classes[zoid]
		sum := t.classes[class]
		t.classes[class] = inventory.ClassHistory{Class: class, Revisions: sum.Revisions + 1, Bytes: sum.Bytes + sizes[i]}
	}
	t.ByClass = inventory.MostHistory(t.classes)
}

// told is ByClass as relpack.run has it: NULL where nothing went.
func (t *Trimmed) told() (*string, error) {
	if len(t.ByClass) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(t.ByClass)
	if err != nil {
		return nil, fmt.Errorf("note the classes of old revisions: %w", err)
	}
	return new(string(text)), nil
}

// note notes what is removed so far: a run that is killed has no end that tells it. While
// somebody has its row locked, that is left to the next batch.
func (t *trimming) note(ctx context.Context) error {
	history, err := t.told()
	if err != nil {
		return err
	}
	_, err = t.Conn.Exec(ctx, "SELECT relpack.trim_note($1, $2, $3, $4)", t.run, t.Revisions, t.Bytes, history)
	if err != nil && !fault.IsState(err, "55P03") { // lock_not_available
		return fmt.Errorf("note what was trimmed: %w", err)
	}
	return nil
}
