"""What is known of a checkout of OpenAlgo: its settings, its secrets, its Python."""
