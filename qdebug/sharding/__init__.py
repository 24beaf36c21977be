"""Sharing many samples among processes, here or on a cluster.

The work is cut into shards; each gives a result for every item, and results come back in the order
of the items, whoever computed them. So the outcome does not depend on how the work was shared.
"""

from qdebug.sharding.shards import Scheduler, Work, run_shards, shards_of

__all__ = ["Scheduler", "Work", "run_shards", "shards_of"]
