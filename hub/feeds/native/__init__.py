"""Brokers without OpenAlgo: one codec for each (hub/brokers), and one runner for all."""
