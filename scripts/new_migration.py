"""Write a migration from the newest one to the current tables of the code."""

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from clusterm.store.engine import Store
from clusterm.store.migrations import alembic_config, migrate


def main() -> int:
    """Write the migration that the command line describes."""
    match sys.argv[1:]:
        case [message] if message.strip():
            write_migration(message.strip())
            return 0
        case _:
            print('describe the migration, as in: make migration m="add the nodes\' labels"', file=sys.stderr)
            return 2


def write_migration(message: str) -> None:
    """Compare a fully migrated database with the tables, and write the differences as the next migration."""
    config = alembic_config()
    newest = ScriptDirectory.from_config(config).get_current_head() or "0000"
    with tempfile.TemporaryDirectory() as directory:
        store = Store(f"sqlite:///{Path(directory) / 'clusterm.db'}")
        migrate(store)
        with store.connect() as connection, connection.begin():
            config.attributes["connection"] = connection
            command.revision(config, message, autogenerate=True, rev_id=f"{int(newest) + 1:04}")
        store.close()


if __name__ == "__main__":
    sys.exit(main())
