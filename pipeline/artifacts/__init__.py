"""How results are kept.

atomic       files that are whole or not there: write, fsync, checksum, seal
store        one folder a fingerprint, published by one rename
run_links    the links of runs to artifacts, and where those runs lie
digests      content digests of input files, remembered
locks        a disk that has no locks
shards       work that goes on after a crash, one sealed shard after another
__main__     `python -m pipeline.artifacts du | gc`
"""
