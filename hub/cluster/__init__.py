"""What machines have in common, by way of NATS."""
