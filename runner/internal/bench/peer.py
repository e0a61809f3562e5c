"""What the comparison with zodbpack needs of RelStorage itself.

    peer.py create CONFIG    create RelStorage's tables in an empty database
    peer.py check CONFIG N   load N objects through ZODB, with stub classes

CONFIG is a ZConfig file as zodbpack takes it.
"""
import sys
import types

import persistent
import ZODB
import ZODB.config
import ZODB.POSException
import ZODB.blob
from ZODB.utils import p64


def stubs():
    """Classes of the application that the generated records name."""
    module = types.ModuleType("zmodels")
    sys.modules["zmodels"] = module

    def stub(name, *bases, **attributes):
        attributes["__module__"] = "zmodels"
        setattr(module, name, type(name, bases, attributes))

    for name in ("Site", "Folder", "Document", "News", "File", "NamedBlobFile",
                 "RelationValue", "Conversation"):
        stub(name, persistent.Persistent)
    stub("Comment", persistent.Persistent,
         __new__=lambda cls, *args: persistent.Persistent.__new__(cls),
         __getnewargs__=lambda self: ("comment", 1))
    stub("Tag", persistent.Persistent,
         __new__=lambda cls, *args: persistent.Persistent.__new__(cls),
         __getnewargs__=lambda self: ())
    for name in ("KeyReference", "RichTextValue", "Reduced"):
        stub(name, object)
    stub("DateTime", object, __setstate__=lambda self, state: None)
    module.make_money = lambda amount, currency: (amount, currency)


def check(storage, count):
    """Load objects evenly over all oids, and look into the trees."""
    stubs()
    connection = ZODB.DB(storage).open()
    total = len(storage)
    loaded = 0
    newest = connection.root()
    for oid in range(0, total, max(total // count, 1)):
        try:
            newest = connection.get(p64(oid))
            if isinstance(newest, ZODB.blob.Blob):
                continue  # there is no file
            newest._p_activate()
        except ZODB.POSException.POSKeyError:
            continue
        if type(newest).__name__ == "Folder":
            newest._tree._check()
        loaded += 1
        if loaded % 1000 == 0:
            connection.cacheMinimize()
    site = connection.root()["plone"]
    for tree in site.catalog.values():
        if hasattr(tree, "_check"):
            tree._check()
    sizes = [len(site.catalog["intids"]), len(site.catalog["uids"])]
    if sizes[0] != sizes[1]:
        raise SystemExit("the catalog's indexes differ: %r" % sizes)
    print(loaded)
    connection.close()


def main():
    storage = ZODB.config.storageFromFile(open(sys.argv[2]))
    if sys.argv[1] == "check":
        check(storage, int(sys.argv[3]))
    storage.close()


main()
