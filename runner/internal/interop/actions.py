"""What the application does in one transaction."""
import time

import persistent.wref
import ZODB.blob

from models import Document, Folder, write_blob

# An object that was cut is pasted within this many seconds; the grace of the
# packs is six times as long, for a machine that stalls.
HOLD = 1.0


class TooLate(Exception):
    """An object was held for too long to be pasted."""

WEIGHTS = {
    "add": 6, "add folder": 2, "add blob": 2, "overwrite blob": 2, "edit": 4,
    "move": 4, "delete": 5, "relate": 2, "pin": 1, "unpin": 1, "prune": 1,
}
# What makes no new object, and makes nothing refer to what it did not refer to.
CALM = ["overwrite blob", "edit", "delete", "unpin"]


class Actions:
    def __init__(self, connection, random, profile, seed):
        self.connection = connection
        self.random = random
        self.own = "area-%d" % seed if profile in ("own", "busy") else "undo-%d" % seed if profile == "undo" else None
        self.undoes = profile == "undo"
        self.count = 0
        self.prefix = "w%d-%d" % (seed, time.time())
        self.held = None
        self.calm = False
        weights = dict(WEIGHTS)
        if profile == "now":
            weights["hold"] = 4
        if profile == "grace":
            weights["cut"] = 6
        if self.own:
            # What others may have cut off is not referred to.
            weights["pin"] = weights["prune"] = 0
        self.names = list(weights)
        self.weights = list(weights.values())

    def choose(self):
        name = self.random.choices(self.names, self.weights)[0]
        if self.calm:
            name = self.random.choice(CALM)
        elif self.held is not None and self.random.random() < 0.5:
            name = "paste"
        return name, getattr(self, name.replace(" ", "_"))

    def last_own(self):
        """The transaction that wrote last in an area that nobody else writes in."""
        area = self.site.areas[self.own]
        area._p_activate()
        return area._p_serial

    def mark_own(self):
        self.site.areas[self.own]._p_changed = True

    # Where and what

    @property
    def site(self):
        return self.connection.root()["site"]

    def folder(self):
        areas = self.site.areas
        folder = areas[self.own or self.random.choice([name for name in sorted(areas) if not name.startswith("undo-")])]
        while self.random.random() < 0.4:
            inner = [item for item in folder.items.values() if isinstance(item, Folder)]
            if not inner:
                break
            folder = self.random.choice(inner)
        return folder

    def item(self, folder, kind=object):
        names = [name for name, item in folder.items.items() if isinstance(item, kind)]
        return self.random.choice(names) if names else None

    def uid(self):
        self.count += 1
        return "%s-%d" % (self.prefix, self.count)

    # Actions

    def add(self):
        folder, uid = self.folder(), self.uid()
        document = Document(folder, uid, "x" * self.random.randrange(100, 900))
        sibling = self.item(folder)
        if sibling is not None:
            document.related = (folder.items[sibling],)
            document.weak = persistent.wref.WeakRef(folder.items[sibling])
        folder.items[uid] = document
        # RelStorage's undo locks nothing: it may pass a commit to what others write, too.
        if self.random.random() < 0.4 and not self.undoes:
            self.site.catalog[uid] = document
        return None

    def add_folder(self):
        folder, uid = self.folder(), self.uid()
        inner = folder.items[uid] = Folder(folder)
        for _ in range(self.random.randrange(6)):
            uid = self.uid()
            inner.items[uid] = Document(inner, uid, "y" * 300)

    def add_blob(self):
        folder, uid = self.folder(), self.uid()
        document = folder.items[uid] = Document(folder, uid, "with a blob")
        document.blob = ZODB.blob.Blob()
        write_blob(document.blob, self.random.randrange(10, 5000))

    def overwrite_blob(self):
        folder = self.folder()
        for document in folder.items.values():
            if isinstance(document, Document) and document.blob is not None:
                write_blob(document.blob, self.random.randrange(10, 5000))
                break

    def edit(self):
        folder = self.folder()
        name = self.item(folder, Document)
        if name is not None:
            folder.items[name].body = "z" * self.random.randrange(100, 900)

    def relate(self):
        folder, other = self.folder(), self.folder()
        name, target = self.item(folder, Document), self.item(other)
        if name is not None and target is not None:
            folder.items[name].related = (other.items[target],)

    def move(self):
        """In one transaction; half of what is moved isn't written itself."""
        source, target = self.folder(), self.folder()
        name = self.item(source)
        if name is None or self.inside(target, source.items[name]):
            return
        item = source.items.pop(name)
        if self.random.random() < 0.5:
            item.__parent__ = target
        target.items[name] = item

    def inside(self, folder, item):
        while isinstance(folder, Folder):
            if folder is item:
                return True
            folder = folder.__parent__
        return False

    def delete(self):
        folder = self.folder()
        for _ in range(self.random.randrange(1, 4)):
            name = self.item(folder)
            if name is not None:
                del folder.items[name]
                if self.random.random() < 0.7 and name in self.site.catalog:
                    del self.site.catalog[name]

    def prune(self):
        """Buckets of the catalog's tree vanish as a whole."""
        names = list(self.site.catalog.keys())
        if len(names) > 100:
            start = self.random.randrange(len(names) // 2)
            for name in names[start:start + len(names) // 3]:
                del self.site.catalog[name]

    def pin(self):
        folder = self.folder()
        name = self.item(folder)
        if name is not None:
            self.site.pins[self.random.randrange(20)] = folder.items[name]

    def unpin(self):
        if self.site.pins:
            del self.site.pins[self.random.choice(sorted(self.site.pins))]

    def hold(self):
        """A transaction that takes its time: meanwhile others may cut off what
        it then refers to."""
        folder = self.folder()
        name = self.item(folder)
        if name is not None:
            item = folder.items[name]
            time.sleep(self.random.choice((0.05, 0.2, 1.0)) * self.random.random())
            self.site.pins[self.random.randrange(20)] = item

    def too_late(self):
        return self.held is not None and time.time() - self.held[2] > HOLD

    def cut(self):
        folder = self.folder()
        name = self.item(folder)
        if name is None or self.held is not None:
            return None
        item = folder.items.pop(name)
        if name in self.site.catalog:
            del self.site.catalog[name]
        since = time.time()  # the commit may take its time

        def done():
            self.held = (name, item, since)
        return done

    def paste(self):
        """A later transaction; half of what is pasted isn't written itself."""
        name, item, _ = self.held
        if self.too_late():
            self.held = None
            return None
        target = self.folder()
        if self.inside(target, item):
            return None
        if self.random.random() < 0.5:
            item.__parent__ = target
        target.items[name] = item

        def done():
            self.held = None
        # Asked again when the other participants have voted.
        manager = self.connection.transaction_manager
        manager.get().join(Deadline(self.too_late))
        return done


class Deadline:
    """A participant of a transaction, and the last to vote, that may end it."""

    def __init__(self, over):
        self.over = over

    def sortKey(self):
        return "~deadline"

    def tpc_vote(self, transaction):
        if self.over():
            raise TooLate

    def tpc_begin(self, transaction):
        pass

    commit = tpc_finish = tpc_abort = abort = tpc_begin
