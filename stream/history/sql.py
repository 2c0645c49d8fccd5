"""SQLAlchemy and Alembic, or the one line that says how to get them."""

from stream.errors import ConfigError

try:
    import alembic
    import alembic.command
    import alembic.config
    import alembic.script
    import alembic.util
    import sqlalchemy as sa
    from alembic.runtime.migration import MigrationContext
except ModuleNotFoundError:
    raise ConfigError("a database needs more packages: pip install 'facewitness[server]'") from None

__all__ = ["MigrationContext", "alembic", "sa"]
