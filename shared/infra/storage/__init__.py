"""Files that are too large for PostgreSQL: on a disk, or in a bucket."""
