package blobs

// A Count is of files that were removed, and of blobs whose files wait for
// another run: for one that knows the blob directory, or for another reason.
type Count struct {
	Files   int64    `json:"files"`
	Bytes   int64    `json:"bytes"`
	Waiting int64    `json:"waiting"`
	Why     string   `json:"why,omitempty"`     // they wait, where the directory is known
	Skipped []string `json:"skipped,omitempty"` // blobs whose files could not be removed, and why; at most 10

	// NotFound were listed, and are not in the directory, which is the storage's.
	NotFound int64 `json:"not_found,omitempty"`

	// Others are files of other revisions that stay beside those removed.
	Others     int64    `json:"others,omitempty"`
	OtherFiles []string `json:"other_files,omitempty"` // of these at most 10
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
