"""How long machines wait for each other, for those too who import no torch."""

MEETING_SECONDS = 1800.0  # until all have come: a cluster's queue may start one machine after the other
NETWORK_DISK_SECONDS = 20.0  # a client may remember for a while that a file was not there
