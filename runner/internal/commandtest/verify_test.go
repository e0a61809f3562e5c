package commandtest

import (
	"encoding/json"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/pgtest"
	"relpack/runner/verify"
)

func TestVerifyTellsEachStoragesStateByItsExitCode(t *testing.T) {
	t.Parallel()
	sound, wrong := pgtest.NewDatabase(t), pgtest.NewDatabase(t)
	config := configuration(t, "", map[string]string{"sound": sound.DSN, "wrong": wrong.DSN}, "wrong", "sound")
	relpack(t, "verify", config).expect(t, fault.ExitRefused, "relpack: wrong: relpack is not installed")
	relpack(t, "migrate", "up", config).expect(t, 0)
	relpack(t, "verify", config).expect(t, fault.ExitRefused, "relpack: sound: the graph is not built yet", "relpack pack")
	relpack(t, "pack", "--dry-run", config).expect(t, 0)
	if r := relpack(t, "verify", "-q", config); r != (result{}) {
		t.Errorf("a quiet verification says %+v", r)
	}
	conn := wrong.Connect(t)
	if _, err := conn.Exec(t.Context(), "SELECT pg_advisory_xact_lock(-2); DELETE FROM relpack.object_inref WHERE inref = 3999"); err != nil {
		t.Fatal(err)
	}
	relpack(t, "verify", config).expect(t, fault.ExitRefused, "relpack: wrong: the graph does not describe the storage: ",
		"zoid 3999", `"relpack verify --repair" mends it`, "result", "errors", "sound")
	r := relpack(t, "verify", "--json", config)
	r.expect(t, fault.ExitRefused)
	var reports []verify.Report
	if err := json.Unmarshal([]byte(r.stdout), &reports); err != nil || len(reports) != 2 ||
		reports[0].ExitCode != fault.ExitRefused || len(reports[0].Findings) == 0 || reports[1].Outcome != "sound" {
		t.Errorf("%v: %s", err, r.stdout)
	}
	if _, err := conn.Exec(t.Context(), "SELECT relpack.try_pack_lock()"); err != nil {
		t.Fatal(err)
	}
	relpack(t, "verify", "--repair", "--dsn", wrong.DSN).expect(t, fault.ExitLocked, "another pack is running")
	if _, err := conn.Exec(t.Context(), "SELECT relpack.release_pack_lock()"); err != nil {
		t.Fatal(err)
	}
	relpack(t, "verify", "--repair", config).expect(t, 0, "mended", "sound")
	relpack(t, "verify", config).expect(t, 0)
	relpack(t, "verify", "--nope").expect(t, fault.ExitUsage, "--nope")
	relpack(t, "verify", "--help").expect(t, 0, "--repair", "--json", "--quiet")
}
