"""Documents that an application has cut off and goes on to write to."""
import ZODB.blob

from models import Document, write_blob

GHOSTS = 150
SIZE = 1 << 20


class Ghosts:
    def __init__(self, connection, manager, random):
        self.random = random
        self.all = []
        manager.begin()
        area = connection.root()["site"].areas["area-7"]
        for number in range(GHOSTS):
            uid = "ghost-%d" % number
            document = area.items[uid] = Document(area, uid, "alive")
            document.blob = ZODB.blob.Blob()
            write_blob(document.blob, SIZE)
            self.all.append(document)
        manager.commit()
        manager.begin()
        for document in self.all:
            del area.items[document.uid]
        manager.commit()

    def write(self):
        document = self.random.choice(self.all)
        document.body = "dead" * self.random.randrange(10, 200)
