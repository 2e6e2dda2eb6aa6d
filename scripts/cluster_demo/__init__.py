"""Several machines on one: what NATS carries between hubs, and what clients notice of faults."""
