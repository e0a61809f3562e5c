package pack_test

import (
	"fmt"
	"testing"
	"time"

	"relpack/runner/internal/packtest"
)

// The days on which clocks change have 23 and 25 hours there, and others of these months
// come after them. A transaction id is a moment of UTC, and a day of grace 24 hours.
func TestAMomentIsTheSameInEveryTimeZone(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewStorage(t)
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"} {
		packtest.Run(t, conn, "SET TimeZone = '"+zone+"'")
		wrong := packtest.Get[int](t, conn, `
			SELECT count(*)
			FROM generate_series('2026-01-01 00:30+00'::timestamptz, '2027-01-01', '1 hour') AS moment
			WHERE abs(extract(epoch FROM relpack.tid_to_time(relpack.time_to_tid(moment)) - moment)) > 1`)
		if wrong > 0 {
			t.Errorf("%s: %d hours of a year are others as transaction ids", zone, wrong)
		}
	}
}

// Twelve hours ago the clocks of this zone were set back by an hour: a day ago was 25 hours ago.
func TestADayOfGraceHas24HoursInEveryTimeZone(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, 24*time.Hour+30*time.Minute, packtest.Garden)
	packtest.DryRun(t, target)
	winter := time.Now().UTC().Add(-12 * time.Hour)
	summer := winter.AddDate(0, -6, 0)
	packtest.Run(t, conn, fmt.Sprintf("SET TimeZone = 'WINTER0SUMMER,M%d.%d.%d/0,M%d.%d.%d/%d:%s'", // up to 24:59:59 of the day
		summer.Month(), 1, 0, winter.Month(), (winter.Day()+6)/7, winter.Weekday(), winter.Hour()+1, winter.Format("04:05")))
	if got := packtest.Get[float64](t, conn, "SELECT extract(epoch FROM now() - (now() - interval '1 day'))::float8 / 3600"); got != 25 {
		t.Fatalf("a day ago was %v hours ago", got)
	}
	if n := packtest.Get[int](t, conn, "SELECT within_grace FROM relpack.status()"); n > 0 {
		t.Errorf("status: %d objects are within the grace", n)
	}
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.unreachable_object WHERE deletable_after > now()"); n > 0 {
		t.Errorf("unreachable_object: %d objects are within the grace", n)
	}
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.unreachable_object, relpack.hangs_with(zoid) AS held WHERE held.deletable_after > now()"); n > 0 {
		t.Errorf("hangs_with: %d objects are within the grace", n)
	}
	if got := packtest.Get[string](t, conn, "SELECT outcome FROM relpack.sweep()"); got != "swept" {
		t.Errorf("sweep: %s", got)
	}
}
