"""The dashboard at /ui/: pages, their session, and their files."""
