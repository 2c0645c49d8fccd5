"""What Alembic runs to migrate: on the connection that it is given, in that connection's transaction."""

from alembic import context

VERSION_TABLE = "facewitness_schema"


def migrate() -> None:
    """Run the steps that are asked for."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, version_table=VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()


if __name__ != "stream.history.migrations.env":  # Alembic loads this file under a name of its own
    migrate()
