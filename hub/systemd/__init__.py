"""What systemd is told of a hub: the units, and the files they are written to."""
