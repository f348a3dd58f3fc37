"""`python -m clusterm`, and the entry point of the command."""

from clusterm.cli.main import main

if __name__ == "__main__":
    main()
