package zodbgen

// class is a Python class or function that records name.
type class uint8

const (
	persistentMapping class = iota
	persistentList
	weakKeyDictionary
	ooBTree
	ooBucket
	ioBTree
	ioBucket
	oiBTree
	oiBucket
	iiTreeSet
	iiSet
	length
	blob
	site
	folder
	document
	news
	file
	namedBlobFile
	relationValue
	conversation
	comment
	tag
	keyReference
	richTextValue
	dateTime
	reduced
	makeMoney
	datetimeDatetime
	copyregReconstructor
	builtinsObject
)

// globals are the GLOBAL instructions of the classes.
var globals = [...]string{
	persistentMapping:    "cpersistent.mapping\nPersistentMapping\n",
	persistentList:       "cpersistent.list\nPersistentList\n",
	weakKeyDictionary:    "cpersistent.wref\nPersistentWeakKeyDictionary\n",
	ooBTree:              "cBTrees.OOBTree\nOOBTree\n",
	ooBucket:             "cBTrees.OOBTree\nOOBucket\n",
	ioBTree:              "cBTrees.IOBTree\nIOBTree\n",
	ioBucket:             "cBTrees.IOBTree\nIOBucket\n",
	oiBTree:              "cBTrees.OIBTree\nOIBTree\n",
	oiBucket:             "cBTrees.OIBTree\nOIBucket\n",
	iiTreeSet:            "cBTrees.IIBTree\nIITreeSet\n",
	iiSet:                "cBTrees.IIBTree\nIISet\n",
	length:               "cBTrees.Length\nLength\n",
	blob:                 "cZODB.blob\nBlob\n",
	site:                 "czmodels\nSite\n",
	folder:               "czmodels\nFolder\n",
	document:             "czmodels\nDocument\n",
	news:                 "czmodels\nNews\n",
	file:                 "czmodels\nFile\n",
	namedBlobFile:        "czmodels\nNamedBlobFile\n",
	relationValue:        "czmodels\nRelationValue\n",
	conversation:         "czmodels\nConversation\n",
	comment:              "czmodels\nComment\n",
	tag:                  "czmodels\nTag\n",
	keyReference:         "czmodels\nKeyReference\n",
	richTextValue:        "czmodels\nRichTextValue\n",
	dateTime:             "czmodels\nDateTime\n",
	reduced:              "czmodels\nReduced\n",
	makeMoney:            "czmodels\nmake_money\n",
	datetimeDatetime:     "cdatetime\ndatetime\n",
	copyregReconstructor: "ccopyreg\n_reconstructor\n",
	builtinsObject:       "cbuiltins\nobject\n",
}

// ref is a reference to an object: ZODB stores the class beside the oid,
// except of a class that is made with arguments (Comment, Tag).
type ref struct {
	zoid  int64
	class class
}

func (r ref) bare() bool { return r.class == comment || r.class == tag }
