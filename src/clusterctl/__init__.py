"""clusterctl: the command line of clusterm."""
