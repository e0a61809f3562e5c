"""zap.py CONFIG slow|fast: RelStorage deletes all that is stored."""
import sys

import ZODB.config

with open(sys.argv[1]) as config:
    storage = ZODB.config.storageFromFile(config)
storage.zap_all(slow=sys.argv[2] == "slow")
storage.close()
