package zodbgen

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"strings"
	"testing"

	"relpack/runner/testdata"
)

// Every record of the sample, written by ZODB, is written again from its
// values. A few have attributes that the generator leaves out, where the sample's
// edits added them.
func TestRecordsAreByteForByteThoseOfZODB(t *testing.T) {
	t.Parallel()
	same, all := map[string]int{}, map[string]int{}
	for _, state := range sample(t) {
		m := &machine{memo: map[int]any{}}
		head, rest := m.load(state)
		value, _ := m.load(rest)
		var args any
		if pair, ok := head.(tuple); ok {
			head, args = pair[0], pair[1]
		}
		c := classOf(head)
		name := strings.TrimSpace(strings.Split(globals[c], "\n")[1])
		all[name]++
		r := &record{}
		if got := rewrite(r, c, args, value); bytes.Equal(got, state) {
			same[name]++
		} else if all[name]-same[name] == 1 {
			t.Logf("%s:\n got %q\nwant %q", name, got, state)
		}
	}
	for name, n := range all {
		t.Logf("%-28s %4d of %4d", name, same[name], n)
		if same[name]*100 < n*90 {
			t.Errorf("only %d of %d records of %s are as ZODB writes them", same[name], n, name)
		}
	}
}

func sample(t *testing.T) (states [][]byte) {
	t.Helper()
	packed, err := testdata.Small.Open("small/object_state.copy.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	plain, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(plain)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		state, err := hex.DecodeString(strings.TrimPrefix(fields[3], `\\x`))
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, state)
	}
	return states
}

// rewrite writes a record from the values of a real one.
func rewrite(r *record, c class, args, value any) []byte {
	d, _ := value.(*dict)
	switch c {
	case persistentMapping:
		return rewriteMapping(r, d)
	case persistentList:
		var relations []int64
		for _, item := range d.get("data").(*list).items {
			relations = append(relations, item.(ref).zoid)
		}
		return r.related(relations)
	case weakKeyDictionary:
		var zoids []int64
		for _, item := range d.get("data").(*list).items {
			zoids = append(zoids, item.(tuple)[0].(weak).zoid)
		}
		return r.weakKeys(zoids)
	case length:
		return r.length(value.(int64))
	case blob:
		return r.blob()
	case site, folder:
		return rewriteContainer(r, c, d)
	case document, news, file:
		return rewriteItem(r, c, d)
	case namedBlobFile:
		return r.blobFile(d.get("_blob").(ref).zoid, d.get("filename").(string))
	case relationValue:
		to, _ := d.get("to_object").(ref)
		return r.relation(d.get("from_object").(ref), to)
	case conversation:
		return r.conversation(d.get("__parent__").(ref), d.get("_comments").(ref).zoid)
	case comment:
		return r.comment(args.(tuple)[1].(int64), d.get("author").(string), d.get("text").(string), d.get("__parent__").(ref).zoid)
	case tag:
		return r.tag(d.get("name").(string))
	}
	return rewriteTree(r, c, value)
}

func rewriteMapping(r *record, d *dict) []byte {
	data := d.get("data").(*dict)
	zoid := func(key string) int64 { return data.get(key).(ref).zoid }
	switch data.keys[0] {
	case "plone":
		return r.root(zoid("plone"))
	case "lang":
		return r.preferences()
	case "id":
		return r.user(int(number(data.get("id").(string))), zoid("prefs"))
	case "paths":
		return r.catalog(zoid("paths"), zoid("uids"), zoid("data"), zoid("intids"), zoid("kw"), zoid("modified"))
	case "value":
		return r.setting(data.get("value").(string))
	case "a":
		price := data.get("price").(*object).args.(tuple)[0].(int64)
		return r.portlets(data.get("a").(string), price, d.get("__parent__").(ref))
	}
	steps, ok := data.get("simple_publication_workflow").(tuple)
	if !ok {
		return nil
	}
	var times []float64
	for _, step := range steps {
		times = append(times, moment(step.(*dict).get("time")))
	}
	return r.workflow(times, d.get("__parent__").(ref))
}

func moment(v any) float64 { return v.(*object).state.(tuple)[0].(float64) }

func number(id string) (n int64) {
	for _, digit := range strings.TrimLeft(id, "abcdefghijklmnopqrstuvwxyz") {
		n = 10*n + int64(digit-'0')
	}
	return n
}

func rewriteContainer(r *record, kind class, d *dict) []byte {
	c := &container{kind: kind, id: d.get("id").(string), title: d.get("title").(string),
		description: d.get("description").(string), tree: d.get("_tree").(ref).zoid, count: d.get("_count").(ref).zoid}
	if kind == folder {
		c.parent = d.get("__parent__").(ref)
		return r.folder(c)
	}
	var all []int64
	for _, user := range d.get("users").(*list).items {
		all = append(all, user.(ref).zoid)
	}
	zoid := func(key string) int64 { return d.get(key).(ref).zoid }
	return r.site(c, zoid("catalog"), zoid("tags"), zoid("weak"), zoid("registry"), all)
}

func rewriteItem(r *record, kind class, d *dict) []byte {
	zoid := func(key string) int64 {
		to, _ := d.get(key).(ref)
		return to.zoid
	}
	i := &item{kind: kind, id: d.get("id").(string), parent: d.get("__parent__").(ref), title: d.get("title").(string),
		description: d.get("description").(string), uuid: d.get("_plone_uuid").(string),
		creators: texts(d.get("creators")), subject: texts(d.get("subject")),
		workflow: zoid("workflow_history"), annotations: zoid("__annotations__"), related: zoid("relatedItems"),
		blobFile: zoid("file"), user: zoid("user"), tag: zoid("tag")}
	if to, ok := d.get("canonical").(weak); ok {
		i.canonical = to.zoid
	}
	if kind != file {
		i.text = d.get("text").(*object).state.(*dict).get("_raw_holder").(string)
		i.effective = moment(d.get("effective"))
		copy(i.modified[:], d.get("modification_date").(*object).args.(tuple)[0].([]byte))
	}
	return r.item(i)
}

func texts(v any) (all []string) {
	for _, s := range v.(tuple) {
		all = append(all, s.(string))
	}
	return all
}

// rewriteTree writes buckets, nodes and trees of one bucket.
func rewriteTree(r *record, c class, value any) []byte {
	width := 2
	if c == iiSet || c == iiTreeSet {
		width = 1
	}
	creators := -1
	write := func(flat tuple) (int, func(i int)) {
		return len(flat) / width, func(i int) {
			for _, v := range flat[i*width : (i+1)*width] {
				creators = rewriteValue(r, v, creators)
			}
		}
	}
	if value == nil {
		return r.embedded(c, 0, nil)
	}
	state := value.(tuple)
	if _, isBucket := map[class]bool{ioBucket: true, ooBucket: true, oiBucket: true, iiSet: true}[c]; isBucket {
		var next int64
		if len(state) == 2 {
			next = state[1].(ref).zoid
		}
		n, items := write(state[0].(tuple))
		return r.bucket(c, n, items, next)
	}
	if len(state) == 1 {
		n, items := write(state[0].(tuple)[0].(tuple)[0].(tuple))
		return r.embedded(c, n, items)
	}
	children := state[0].(tuple)
	return r.node(c, children[0].(ref).class, len(children)/2+1,
		func(i int) int64 { return children[2*i].(ref).zoid },
		func(i int) { rewriteValue(r, children[2*i-1], -1) }, state[1].(ref))
}

// constants are the strings of trees that Python keeps one object of.
var constants = map[string]bool{"conversation": true, "plone.contentrules": true, "plone.portlets.category": true, "portlets": true}

func rewriteValue(r *record, v any, creators int) int {
	switch v := v.(type) {
	case string:
		if constants[v] {
			r.name(v)
		} else {
			r.text(v)
		}
	case int64:
		r.number(v)
	case ref:
		r.ref(v)
	case *object:
		r.keyReference(v.state.(*dict).get("object").(ref))
	case tuple:
		return r.metadata(&metadata{id: v[0].(string), title: v[1].(string), path: v[2].(string), uuid: v[3].(string),
			portalType: v[4].(string), modified: v[5].(float64)}, creators)
	}
	return creators
}
