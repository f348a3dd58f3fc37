"""clusterm: a cluster manager service that runs ansible jobs and keeps what happened."""
