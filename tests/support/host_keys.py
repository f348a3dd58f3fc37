"""Public ssh keys that no machine has."""

from typing import Final

KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAewJ4om2EkzmBWG+rfZHp+Lwdsq2iQoWEg/Bl0qEePP"
OTHER: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAewJ4om2EkzmBWG+rfZHp+Lwdsq2iQoWEg/Bl0qEePA"

FINGERPRINT: Final = "SHA256:iGfZkZlbwBH3gXLnhhZYt4pTpPqBEYrx/LdwdcANL18"
"""The fingerprint of `KEY`."""
