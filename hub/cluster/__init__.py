"""What machines have with each other, by NATS: account events, and who is there."""
