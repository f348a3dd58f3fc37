"""Reads the hosts of ansible inventories."""
