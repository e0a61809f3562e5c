package zodbtest

import (
	"math/bits"
	"time"
)

// TimeTid is the tid of a moment. A tid's high half counts minutes since 1900
// in months of 31 days, its low half is the second within the minute in units
// of 60/2^32 s.
func TimeTid(moment time.Time) int64 {
	u := moment.UTC()
	months := int64(u.Year()-1900)*12 + int64(u.Month()) - 1
	minutes := ((months*31+int64(u.Day())-1)*24+int64(u.Hour()))*60 + int64(u.Minute())
	within := time.Duration(u.Second())*time.Second + time.Duration(u.Nanosecond())
	high, low := bits.Mul64(uint64(within), 1<<32)
	fraction, _ := bits.Div64(high, low, uint64(time.Minute))
	return minutes<<32 | int64(fraction)
}

// TidTime is the moment of a tid, to the nanosecond below.
func TidTime(tid int64) time.Time {
	minutes := tid >> 32
	high, low := bits.Mul64(uint64(tid&0xffffffff), uint64(time.Minute))
	within := high<<32 | low>>32
	days := minutes / (24 * 60)
	months := days / 31
	return time.Date(1900+int(months/12), time.Month(months%12+1), int(days%31)+1,
		int(minutes/60%24), int(minutes%60), 0, int(within), time.UTC)
}

// Earlier is what to take from a tid of a moment for one that is of some time before. A tid's
// months have 31 days: its minutes alone would lead from the 1st to a day that there is not.
func Earlier(moment time.Time, d time.Duration) int64 {
	return TimeTid(moment) - TimeTid(moment.Add(-d))
}
