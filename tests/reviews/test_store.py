"""The code and the organization of a scan that is inserted by hand."""

import psycopg
import pytest

from shared.infra.db import Conn, exactly_one
from tests.support.factories import code_text, make_code, make_org, make_player


@pytest.mark.parametrize("text", [None, "as printed"])
def test_a_row_inserted_by_hand_gets_its_organization(conn: Conn, text: str | None) -> None:
    org = make_org(conn)
    code, player = make_code(conn, org), make_player(conn)
    conn.execute("INSERT INTO player_scans (player_id, qr_code_id, qr_code) VALUES (%s, %s, %s)", (player, code, text))
    row = exactly_one(conn.execute("SELECT org_id, qr_code FROM player_scans"))
    assert row == (org, text or code_text(conn, code))


def test_a_row_with_a_code_text_alone_belongs_to_no_organization(conn: Conn) -> None:
    make_code(conn, make_org(conn))
    conn.execute("INSERT INTO player_scans (player_id, qr_code) SELECT %s, code FROM qr_codes", (make_player(conn),))
    assert exactly_one(conn.execute("SELECT qr_code_id, org_id FROM player_scans")) == (None, None)


def test_a_scan_cannot_name_the_organization_of_another_code(conn: Conn) -> None:
    code, other, player = make_code(conn, make_org(conn)), make_org(conn), make_player(conn)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        conn.execute(
            "INSERT INTO player_scans (player_id, qr_code_id, org_id, qr_code) VALUES (%s, %s, %s, 'x')",
            (player, code, other),
        )
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        conn.execute(
            "INSERT INTO player_scans (player_id, qr_code, org_id) VALUES (%s, 'unknown', %s)", (player, other)
        )
    assert refused.value.diag.constraint_name == "player_scans_org_of_code"
