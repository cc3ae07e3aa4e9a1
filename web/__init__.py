"""The Flask edge: takes requests, asks PostgreSQL, leaves work to the workers, and answers."""
