"""Files to start from: a configuration, playbooks, and what systemd needs."""
