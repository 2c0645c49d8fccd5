"""Users with roles, their passwords and sessions, in the database of the history."""
