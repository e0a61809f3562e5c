package blobs

// A Count is of files that were removed, and of blobs whose files wait for
// another run: for one that knows the blob directory, or for another reason.
type Count struct {
	Files   int64    `json:"files"`
	Bytes   int64    `json:"bytes"`
	Waiting int64    `json:"waiting"`
	Why     string   `json:"why,omitempty"`     // they wait, where the directory is known
	Skipped []string `json:"skipped,omitempty"` // blobs whose files could not be removed, and why; at most 10

	// Others are files of other revisions that stay beside those removed.
	Others     int64    `json:"others,omitempty"`
	OtherFiles []string `json:"other_files,omitempty"` // of these at most 10
}

// A Blob is one revision of a blob. Newest is 0, or the highest zoid that is stored
// (see blobdir.Removal).
type Blob struct {
	Zoid, Tid, Newest int64
}
