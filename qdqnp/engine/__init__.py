"""Do the same to many inputs, in this process, in many, or on a cluster: the result is the same bytes.

A Job says what is done to one Shard of the inputs, and is sent to each worker once. `run_shards` returns what came of
every shard, in their order. It knows no model: who calls it adds up the partial results.
"""

from qdqnp.engine.digest import digest
from qdqnp.engine.job import Blobs, Job, Shard, Workplace, key_of
from qdqnp.engine.run import each_shard, opened, run_shards

__all__ = ["Blobs", "Job", "Shard", "Workplace", "digest", "each_shard", "key_of", "opened", "run_shards"]
