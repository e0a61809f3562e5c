package blobs

import "time"

// A Count is of files that were removed, and of blobs whose files wait for
// another run: for one that knows the blob directory, or for another reason.
type Count struct {
	Files   int64    `json:"files"`
	Bytes   int64    `json:"bytes"`
	Waiting int64    `json:"waiting"`
	Why     string   `json:"why,omitempty"`     // they wait, where the directory is known
	Skipped []string `json:"skipped,omitempty"` // blobs whose files could not be removed, and why; at most 10

	Missing
	StruckOff int64 `json:"struck_off,omitempty"` // after 30 days of that

	// Others are files of other revisions that stay beside those removed.
	Others     int64    `json:"others,omitempty"`
	OtherFiles []string `json:"other_files,omitempty"` // of these at most 10
}

// Missing are files on the list that were not in the directory, which was the storage's, and
// since when at the earliest. A pack that knows the directory looks for them again. They are
// not among those that wait.
type Missing struct {
	Missed      int64      `json:"missed"`
	MissedSince *time.Time `json:"missed_since,omitempty"`
	MissedFiles []string   `json:"missed_files,omitempty"` // of these at most 10
}

// LargeObjects are those that went with blobs in the database.
type LargeObjects struct {
	Removed int64 `json:"removed"`
	Bytes   int64 `json:"bytes"`    // of those whose length is known
	NotRead int64 `json:"not_read"` // whose length is not
}

// Add counts some more; nil: this role may not read how long they are.
func (l *LargeObjects) Add(removed int64, bytes *int64) {
	l.Removed += removed
	if bytes == nil {
		l.NotRead += removed
		return
	}
	l.Bytes += *bytes
}

// Join adds what is counted elsewhere.
func (l *LargeObjects) Join(o LargeObjects) {
	l.Removed += o.Removed
	l.Bytes += o.Bytes
	l.NotRead += o.NotRead
}

// A Blob is one revision of a blob. Newest is 0, or the highest zoid that is stored
// (see blobdir.Removal).
type Blob struct {
	Zoid, Tid, Newest int64
}
