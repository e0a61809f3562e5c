"""writer.py CONFIG PROFILE SEED LOG: an application that writes until SIGTERM.

Profiles:
    now     works all over the site; holds what it read within a transaction only
    grace   also cuts objects out and pastes them in a later transaction
    own     moves and deletes in an area of its own, so that nothing it holds is
            cut off by others (what zodbpack can't protect)
    busy    as own, without a pause between commits
    undo    as own, where nobody else works; undoes its last transaction now and
            then, which may be an undo
    touch   commits to the objects 0, 1 and 23 in turn
    ghost   writes to documents with large blobs that it has cut off and holds in
            memory, whether they are stored still or not

LOG appears when all is ready, and gets a line for each commit: start, seconds,
what. SIGUSR1 calms the writer (see actions.CALM), and rouses it again; as long
as it is calm there is a file LOG.calm. Standard output gets a count of what
happened, as JSON.
"""
import base64
import collections
import json
import os
import random
import signal
import sys
import time

import transaction
from relstorage.adapters.interfaces import UnableToAcquirePackUndoLockError
from ZODB.POSException import ConflictError, POSKeyError, UndoError
from ZODB.utils import p64

from actions import Actions, TooLate
from ghosts import Ghosts
from models import open_db

ATTEMPTS = 30


class Writer:
    def __init__(self, db, profile, seed):
        self.manager = transaction.TransactionManager(explicit=True)
        self.connection = db.open(transaction_manager=self.manager)
        self.random = random.Random(seed)
        self.profile = profile
        self.log = None
        self.counts = collections.Counter()
        self.stopping = False
        self.told = False
        self.touched = 0
        self.actions = Actions(self.connection, self.random, profile, seed)
        self.ghosts = None
        if profile == "ghost":
            self.ghosts = Ghosts(self.connection, self.manager, self.random)

    def stop(self, *_):
        self.stopping = True

    def calm_or_rouse(self, *_):
        self.told = not self.told

    def obey(self):
        """Between two transactions."""
        if self.told == self.actions.calm:
            return
        self.actions.calm = self.told
        if self.told:
            open(self.log.name + ".calm", "w").close()
        else:
            os.remove(self.log.name + ".calm")

    def run(self):
        while not self.stopping:
            self.obey()
            if self.profile == "touch":
                self.touched = (self.touched + 1) % 3
                name, action = ("touch", self.touch)
            elif self.ghosts is not None:
                name, action = ("ghost", self.ghosts.write)
            else:
                name, action = self.actions.choose()
            if self.profile == "undo":
                name, action = self.undoing(name, action)
            self.transact(name, action)
            if self.profile != "busy":
                time.sleep(self.random.random() * (2 if self.ghosts else 0.04))

    def undoing(self, name, action):
        if self.random.random() < 0.4:
            return "undo", self.undo

        def marked():
            done = action()
            self.actions.mark_own()
            return done
        return name, marked

    def undo(self):
        tid = self.actions.last_own()
        self.connection.db().undo(base64.encodebytes(tid).rstrip(), txn=self.manager.get())

    def touch(self):
        touched = self.connection.get(p64((0, 1, 23)[self.touched]))
        touched._p_activate()
        touched._p_changed = True

    def transact(self, name, action):
        for _ in range(ATTEMPTS):
            self.manager.begin()
            try:
                done = action()
                start = time.time()
                self.manager.commit()
            except ConflictError as error:
                self.manager.abort()
                self.counts["conflict: " + type(error).__name__] += 1
                time.sleep(self.random.random() * 0.02)
                continue
            except POSKeyError:
                self.manager.abort()
                if self.ghosts is None:
                    raise
                self.counts["gone"] += 1
                return
            except (UndoError, UnableToAcquirePackUndoLockError) as error:
                self.manager.abort()
                self.counts[type(error).__name__] += 1
                return
            except TooLate:
                self.manager.abort()
                self.counts["too late"] += 1
                return
            except BaseException:
                self.manager.abort()
                print("%s failed at %.3f" % (name, time.time()), file=sys.stderr)
                raise
            self.log.write("%.6f %.6f %s\n" % (start, time.time() - start, name))
            self.counts[name] += 1
            if done is not None:
                done()
            return
        self.counts["gave up"] += 1


def main():
    config, profile, seed, log = sys.argv[1:]
    db = open_db(config)
    writer = Writer(db, profile, int(seed))
    signal.signal(signal.SIGTERM, writer.stop)
    signal.signal(signal.SIGUSR1, writer.calm_or_rouse)
    with open(log, "w", buffering=1) as writer.log:
        writer.run()
    print(json.dumps(writer.counts))
    writer.connection.close()
    db.close()


main()
