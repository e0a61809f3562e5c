"""across.py MAIN USERS link|cut|load: a multi-database of two configurations.

link makes an object in the database "users" to which only the database "main"
refers, and a part of it; cut drops the reference; load reads the object and
its part through "main" and prints their oids.
"""
import sys

import persistent.mapping
import transaction
import ZODB
import ZODB.config
from ZODB.utils import u64


def main():
    databases = {}
    for name, config in zip(("main", "users"), sys.argv[1:3]):
        with open(config) as stream:
            ZODB.DB(ZODB.config.storageFromFile(stream), databases=databases, database_name=name)
    connection = databases["main"].open()
    root = connection.root()
    if sys.argv[3] == "link":
        users = connection.get_connection("users")
        users.root()["anything"] = 1
        guest = persistent.mapping.PersistentMapping(name="guest")
        guest["part"] = persistent.mapping.PersistentMapping(of="guest")
        users.add(guest)
        root["guest"] = guest
    elif sys.argv[3] == "cut":
        del root["guest"]
    else:
        guest = root["guest"]
        print(guest["name"], guest["part"]["of"], u64(guest._p_oid), u64(guest["part"]._p_oid))
    transaction.commit()
    if sys.argv[3] != "load":
        # What bears the highest tid alone would stay.
        users = connection.get_connection("users")
        users.root()["last"] = sys.argv[3]
        transaction.commit()
    connection.close()
    for database in databases.values():
        database.close()


main()
