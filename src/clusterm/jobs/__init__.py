"""Accepts, starts, stops and finishes jobs, in one transaction each."""
