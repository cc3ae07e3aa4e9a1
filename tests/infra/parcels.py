"""Parcels: rows of a leased table that only tests have. The fixture `parcels` creates it."""

from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn
from shared.infra.leases import LeasedTable


@dataclass(frozen=True)
class Parcel:
    id: UUID
    attempts: int


PARCELS = LeasedTable(name="parcels", columns="id, attempts", row=class_row(Parcel))


def expire_leases(conn: Conn) -> None:
    conn.execute("UPDATE parcels SET lease_until = now() WHERE lease_until IS NOT NULL AND status = 'pending'")
