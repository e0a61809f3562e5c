package runner

import (
	"testing"

	"relpack/migrations"
	"relpack/runner/pack"
	"relpack/runner/schema"
)

func TestARestoreThatLeftRelpacksDataOutIsToldFromOneThatNeverHadIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ option, says string }{
		"without its data":   {"--exclude-table-data=relpack.*", "restored without its data"},
		"without its tables": {"--exclude-table=relpack.*", "relpack did not create"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, _ := newGarden(t)
			target, conn := restored(t, source, c.option)
			for range 2 {
				_, err := pack.Run(t.Context(), target, everything, testLog(t))
				expectRefusal(t, err, c.says, "DROP SCHEMA relpack CASCADE", "relpack migrate up")
				expectRefusal(t, schema.Up(t.Context(), target, migrations.Files, testLog(t)), c.says, "DROP SCHEMA relpack CASCADE", "relpack migrate up")
				expectRefusal(t, schema.Down(t.Context(), target, migrations.Files, testLog(t)), c.says, "DROP SCHEMA relpack CASCADE")
			}
			run(t, conn, "DROP SCHEMA relpack CASCADE")
			up(t, target)
			packStorage(t, target, everything)
			expectStored(t, conn, 0, 1, 2)
		})
	}
}
