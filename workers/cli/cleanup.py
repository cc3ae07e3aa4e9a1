"""Delete everything whose retention is over, now, and print what was deleted.

python -m workers.cli.cleanup
"""

from shared.infra import db
from shared.infra.logging import configure
from workers.cleanup import purge_all


def main() -> None:
    configure("cleanup")
    db.require_database()
    try:
        print(purge_all())
    finally:
        db.close_pool()


if __name__ == "__main__":
    main()
