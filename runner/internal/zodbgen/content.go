package zodbgen

// item is what a document, a news item or a file is made of.
type item struct {
	kind        class
	text        string // of documents and news
	effective   float64
	modified    [10]byte // the state of a datetime
	id          string
	parent      ref
	title       string
	description string
	creators    []string
	uuid        string
	subject     []string
	workflow    int64
	annotations int64 // 0: none
	related     int64 // 0: none
	canonical   int64 // weak; 0: none
	blobFile    int64 // of files
	user        int64 // of files
	tag         int64 // 0: none
}

// item writes a document, a news item or a file.
func (r *record) item(d *item) []byte {
	r.begin(d.kind)
	r.state()
	if d.kind == file {
		r.name("file")
		r.ref(ref{d.blobFile, namedBlobFile})
	} else {
		r.body(d)
	}
	r.name("id")
	r.text(d.id)
	r.name("__parent__")
	r.ref(d.parent)
	r.name("title")
	r.text(d.title)
	r.name("description")
	r.text(d.description)
	r.name("creators")
	r.strings(d.creators)
	r.name("language")
	r.name("de")
	r.name("rights")
	r.name("")
	r.name("_plone_uuid")
	r.text(d.uuid)
	r.name("subject")
	r.strings(d.subject)
	r.name("workflow_history")
	r.ref(ref{d.workflow, persistentMapping})
	if d.annotations != 0 {
		r.name("__annotations__")
		r.ref(ref{d.annotations, ooBTree})
	}
	if d.related != 0 {
		r.name("relatedItems")
		r.ref(ref{d.related, persistentList})
	}
	if d.user != 0 {
		r.name("user")
		r.ref(ref{d.user, persistentMapping})
	}
	if d.canonical != 0 {
		r.name("canonical")
		r.weak(d.canonical)
	}
	if d.tag != 0 {
		r.name("tag")
		r.ref(ref{d.tag, tag})
	}
	r.op(opSetItems)
	return r.end()
}

func (r *record) body(d *item) {
	r.name("text")
	r.global(richTextValue)
	r.op(opEmptyTuple, opNewObj)
	r.put()
	r.emptyDict()
	r.op(opMark)
	r.name("mimeType")
	r.name("text/html")
	r.name("outputMimeType")
	r.name("text/x-html-safe")
	r.name("_encoding")
	r.name("utf-8")
	r.name("_raw_holder")
	r.text(d.text)
	r.op(opSetItems, opBuild)
	r.name("effective")
	r.dateTime(d.effective)
	r.name("modification_date")
	r.global(datetimeDatetime)
	r.op(opShortBytes, byte(len(d.modified)))
	r.op(d.modified[:]...)
	r.put()
	r.tuple(1)
	r.op(opReduce)
	r.put()
}

// strings writes a tuple of strings.
func (r *record) strings(items []string) {
	if len(items) == 0 {
		r.op(opEmptyTuple)
		return
	}
	if len(items) > 3 {
		r.op(opMark)
	}
	for _, s := range items {
		r.text(s)
	}
	r.tuple(len(items))
}

// workflow writes the workflow history of an item, one or two steps long.
func (r *record) workflow(times []float64, parent ref) []byte {
	r.begin(persistentMapping)
	r.state()
	r.name("data")
	r.emptyDict()
	r.name("simple_publication_workflow")
	for i, at := range times {
		r.emptyDict()
		r.op(opMark)
		r.name("action")
		if i == 0 {
			r.op(opNone)
		} else {
			r.name("publish")
		}
		r.name("actor")
		r.name("admin")
		r.name("comments")
		r.name("")
		r.name("review_state")
		if i == 0 {
			r.name("private")
		} else {
			r.name("published")
		}
		r.name("time")
		r.dateTime(at)
		r.op(opSetItems)
	}
	r.tuple(len(times))
	r.op(opSetItem)
	r.name("__parent__")
	r.ref(parent)
	r.op(opSetItems)
	return r.end()
}

// portlets writes the mapping that an item's annotations hold.
func (r *record) portlets(text string, price int64, parent ref) []byte {
	r.begin(persistentMapping)
	r.state()
	r.name("data")
	r.emptyDict()
	r.op(opMark)
	r.name("a")
	r.text(text)
	r.name("price")
	r.global(makeMoney)
	r.number(price)
	r.name("EUR")
	r.tuple(2)
	r.op(opReduce)
	r.put()
	r.op(opSetItems)
	r.name("__parent__")
	r.ref(parent)
	r.op(opSetItems)
	return r.end()
}

// setting writes a record of the registry; it refers to nothing.
func (r *record) setting(value string) []byte {
	r.begin(persistentMapping)
	r.emptyDict()
	r.name("data")
	r.emptyDict()
	r.op(opMark)
	r.name("value")
	r.text(value)
	r.name("field")
	r.global(copyregReconstructor)
	r.global(reduced)
	r.global(builtinsObject)
	r.op(opNone)
	r.tuple(3)
	r.op(opReduce)
	r.put()
	r.emptyDict()
	r.op(opBuild, opSetItems, opSetItem)
	return r.end()
}

// related writes the list of an item's relations.
func (r *record) related(relations []int64) []byte {
	r.begin(persistentList)
	r.emptyDict()
	r.name("data")
	r.emptyList()
	if len(relations) > 1 {
		r.op(opMark)
	}
	for _, zoid := range relations {
		r.ref(ref{zoid, relationValue})
	}
	switch {
	case len(relations) == 1:
		r.op(opAppend)
	case len(relations) > 1:
		r.op(opAppends)
	}
	r.op(opSetItem)
	return r.end()
}

// relation writes a relation between two items; to.zoid 0 is a broken one.
func (r *record) relation(from, to ref) []byte {
	r.begin(relationValue)
	r.state()
	r.name("from_object")
	r.ref(from)
	r.name("to_object")
	if to.zoid == 0 {
		r.op(opNone)
	} else {
		r.ref(to)
	}
	r.name("__parent__")
	r.ref(from)
	r.name("from_attribute")
	r.name("relatedItems")
	r.name("_broken_to_path")
	if to.zoid == 0 {
		r.text("/plone/gone")
	} else {
		r.op(opNone)
	}
	r.op(opSetItems)
	return r.end()
}

// conversation writes the comments' container of an item.
func (r *record) conversation(parent ref, comments int64) []byte {
	r.begin(conversation)
	r.state()
	r.name("__parent__")
	r.ref(parent)
	r.name("_comments")
	r.ref(ref{comments, ioBTree})
	r.name("enabled")
	r.op(opTrue, opSetItems)
	return r.end()
}

// comment writes a comment; Comment is made with arguments.
func (r *record) comment(number int64, author, text string, parent int64) []byte {
	r.reset()
	r.global(comment)
	r.name("comment")
	r.number(number)
	r.tuple(2)
	r.tuple(2)
	r.second()
	r.state()
	r.name("author")
	r.text(author)
	r.name("text")
	r.text(text)
	r.name("__parent__")
	r.ref(ref{parent, conversation})
	r.op(opSetItems)
	return r.end()
}

// blobFile writes the object between a file and its blob.
func (r *record) blobFile(zoid int64, filename string) []byte {
	r.begin(namedBlobFile)
	r.state()
	r.name("_blob")
	r.ref(ref{zoid, blob})
	r.name("filename")
	r.text(filename)
	r.name("contentType")
	r.name("application/pdf")
	r.op(opSetItems)
	return r.end()
}

func (r *record) blob() []byte {
	r.begin(blob)
	r.op(opNone)
	return r.end()
}

func (r *record) length(n int64) []byte {
	r.begin(length)
	r.number(n)
	return r.end()
}
