"""What is known of brokers: how their streams, logins and lists of instruments read. Pure."""
