"""Monitoring by a Serf agent."""
