package zodbgen

import "strconv"

// container is what a folder or the site is made of.
type container struct {
	kind        class
	id          string
	parent      ref // none for the site
	title       string
	description string
	tree, count int64
}

// folder writes a folder.
func (r *record) folder(c *container) []byte {
	r.container(c)
	r.op(opSetItems)
	return r.end()
}

func (r *record) container(c *container) {
	r.begin(c.kind)
	r.state()
	r.name("id")
	r.text(c.id)
	r.name("__parent__")
	if c.kind == site {
		r.op(opNone)
	} else {
		r.ref(c.parent)
	}
	r.name("title")
	r.text(c.title)
	r.name("description")
	r.text(c.description)
	r.name("creators")
	r.name("admin")
	r.tuple(1)
	r.name("creation_date")
	r.dateTime(1700000000)
	r.name("portal_type")
	r.name("Folder")
	r.name("_tree")
	r.ref(ref{c.tree, ooBTree})
	r.name("_count")
	r.ref(ref{c.count, length})
	r.name("__ac_local_roles__")
	r.emptyDict()
	r.op(opMark)
	r.name("admin")
	r.emptyList()
	r.name("Owner")
	r.op(opAppend)
	r.name("AuthenticatedUsers")
	r.emptyList()
	r.name("Reader")
	r.op(opAppend, opSetItems)
}

// site writes the application's root, with what only it has.
func (r *record) site(c *container, catalog, tags, weak, registry int64, users []int64) []byte {
	r.container(c)
	r.name("catalog")
	r.ref(ref{catalog, persistentMapping})
	r.name("tags")
	r.ref(ref{tags, ooBTree})
	r.name("weak")
	r.ref(ref{weak, weakKeyDictionary})
	r.name("registry")
	r.ref(ref{registry, ooBTree})
	r.name("users")
	r.emptyList()
	r.op(opMark)
	for _, user := range users {
		r.ref(ref{user, persistentMapping})
	}
	r.op(opAppends, opSetItems)
	return r.end()
}

// root writes object 0.
func (r *record) root(plone int64) []byte {
	r.begin(persistentMapping)
	r.emptyDict()
	r.name("data")
	r.emptyDict()
	r.name("plone")
	r.ref(ref{plone, site})
	r.op(opSetItem, opSetItem)
	return r.end()
}

// catalog writes the mapping of the indexes.
func (r *record) catalog(paths, uids, data, intids, kw, modified int64) []byte {
	r.begin(persistentMapping)
	r.emptyDict()
	r.name("data")
	r.emptyDict()
	r.op(opMark)
	r.name("paths")
	r.ref(ref{paths, ioBTree})
	r.name("uids")
	r.ref(ref{uids, oiBTree})
	r.name("data")
	r.ref(ref{data, ioBTree})
	r.name("intids")
	r.ref(ref{intids, ioBTree})
	r.name("kw")
	r.ref(ref{kw, ooBTree})
	r.name("modified")
	r.ref(ref{modified, iiTreeSet})
	r.op(opSetItems, opSetItem)
	return r.end()
}

// user writes a user and refers to the preferences.
func (r *record) user(number int, prefs int64) []byte {
	id := "user" + strconv.Itoa(number)
	r.begin(persistentMapping)
	r.emptyDict()
	r.name("data")
	r.emptyDict()
	r.op(opMark)
	r.name("id")
	r.text(id)
	r.name("email")
	r.text(id + "@example.org")
	r.name("prefs")
	r.ref(ref{prefs, persistentMapping})
	r.op(opSetItems, opSetItem)
	return r.end()
}

// preferences refer to nothing.
func (r *record) preferences() []byte {
	r.begin(persistentMapping)
	r.emptyDict()
	r.name("data")
	r.emptyDict()
	r.name("lang")
	r.name("de")
	r.op(opSetItem, opSetItem)
	return r.end()
}

// tag writes a tag; Tag is made with no arguments, but by way of them.
func (r *record) tag(name string) []byte {
	r.reset()
	r.global(tag)
	r.op(opEmptyTuple)
	r.tuple(2)
	r.second()
	r.emptyDict()
	r.name("name")
	r.text(name)
	r.op(opSetItem)
	return r.end()
}

// weakKeys writes a dictionary with weak references as keys.
func (r *record) weakKeys(zoids []int64) []byte {
	r.begin(weakKeyDictionary)
	r.emptyDict()
	r.name("data")
	r.emptyList()
	r.op(opMark)
	for _, zoid := range zoids {
		r.weak(zoid)
		r.number(1)
		r.tuple(2)
	}
	r.op(opAppends, opSetItem)
	return r.end()
}
