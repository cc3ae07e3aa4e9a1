"""The requests of the admin pages for an organization's codes: FastAPI with sessions, `label` and `contrast_ratio`."""

from typing import Any

import pytest

from shared.infra.db import Conn
from tests.support.callers import Staff

LABELS = ["Table 1", " Table 2 ", ""]


@pytest.mark.parametrize(
    ("url", "scan_type"), [(None, "item_drop"), ("https://museum.example/visit", None)], ids=["game", "website"]
)
def test_labels_create_codes(client: Any, conn: Conn, staff: Staff, url: str | None, scan_type: str | None) -> None:
    conn.execute("UPDATE organizations SET url = %s WHERE id = %s", (url, staff.org_id))

    response = client.post(f"{staff.codes}/bulk", json={"labels": LABELS}, headers=staff.admin.headers)

    assert (response.status_code, [row["status"] for row in response.json["rows"]]) == (201, ["added", "added"])
    codes = client.get(staff.codes, headers=staff.admin.headers).json["items"]
    assert {code["description"] for code in codes} == {"Table 1", "Table 2"}
    assert {(code["scan_type"], code["target_url"]) for code in codes} == {(scan_type, url)}
    opened = client.get(f"/s/{codes[0]['code']}")
    assert (opened.status_code, opened.location) == ((200, None) if url is None else (302, url))


@pytest.mark.parametrize(
    "body", [{}, {"labels": []}, {"labels": [" "]}, {"labels": ["a"], "codes": []}, {"labels": [1]}, {"labels": "a"}]
)
def test_invalid_labels_are_rejected(client: Any, staff: Staff, body: dict[str, Any]) -> None:
    response = client.post(f"{staff.codes}/bulk", json=body, headers=staff.admin.headers)
    assert response.status_code == 422
    assert client.get(staff.codes, headers=staff.admin.headers).json["items"] == []


@pytest.mark.parametrize(
    ("foreground", "ratio"), [("#000000", 21.0), ("#767676", 4.54), ("#949494", 3.03)], ids=["black", "AA", "least"]
)
def test_customization_returns_the_contrast(
    client: Any, conn: Conn, staff: Staff, foreground: str, ratio: float
) -> None:
    code = client.post(staff.codes, json={"scan_type": "item_drop"}, headers=staff.admin.headers).json["id"]
    url = f"{staff.codes}/{code}/customization"
    body = {"foreground_color": foreground, "background_color": "#FFFFFF", "style": "squares", "logo_size_percent": 20}

    saved = client.put(url, json=body, headers=staff.admin.headers)

    assert (saved.status_code, saved.json["contrast_ratio"]) == (200, ratio)
    assert client.get(url, headers=staff.member.headers).json == saved.json
