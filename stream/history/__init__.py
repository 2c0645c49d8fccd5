"""What was checked and what alarmed, kept in a database: SQLite, or MySQL/MariaDB by URL."""
