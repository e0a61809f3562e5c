"""The classes of a small site, and how its database is opened."""
import hashlib
import os

import BTrees.OOBTree
import persistent
import persistent.mapping
import ZODB
import ZODB.blob
import ZODB.config


class Folder(persistent.Persistent):
    """A container that refers to its items, which refer to it."""

    def __init__(self, parent):
        self.__parent__ = parent
        self.items = BTrees.OOBTree.OOBTree()


class Document(persistent.Persistent):
    blob = None

    def __init__(self, parent, uid, body):
        self.__parent__ = parent
        self.uid = uid
        self.body = body
        self.related = ()
        self.weak = None
        # A circle of two, which hangs on the document.
        self.notes = persistent.mapping.PersistentMapping(about=self)


class Site(persistent.Persistent):
    """Object 1: the areas in which the writers work, a catalog, pins."""

    def __init__(self):
        self.areas = persistent.mapping.PersistentMapping()
        self.catalog = BTrees.OOBTree.OOBTree()
        self.pins = persistent.mapping.PersistentMapping()
        self.keep = persistent.mapping.PersistentMapping()


def write_blob(blob, size):
    """Fill a blob with what proves itself."""
    data = os.urandom(size)
    with blob.open("w") as stream:
        stream.write(hashlib.sha256(data).digest() + data)


def check_blob(blob):
    with blob.open("r") as stream:
        data = stream.read()
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        raise SystemExit("blob %d is damaged" % ZODB.utils.u64(blob._p_oid))


def open_db(config):
    with open(config) as stream:
        return ZODB.DB(ZODB.config.storageFromFile(stream), pool_size=20)
