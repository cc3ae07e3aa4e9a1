"""Taps on the pages of codes, as a test repeats them."""

from typing import Any

from script.stack import RunningServer
from tests.conftest import PASSWORD
from tests.pages.browsers import DAM_SQUARE
from tests.pages.conftest import Game

PLACE = {"latitude": DAM_SQUARE["latitude"], "longitude": DAM_SQUARE["longitude"]}
STATE = """async () => {
    const outbox = await import(document.body.dataset.static + 'js/player/outbox.js');
    return (await outbox.all()).map(scan => [scan.state, scan.verdict?.status, scan.player_id]);
}"""


def tap(page: Any) -> None:
    page.get_by_role("button", name="Check in").click()


def check_in(page: Any, code: Any, headline: str) -> None:
    """Open the page of a code, tap, and wait for this headline."""
    page.goto(f"/s/{code['code']}")
    tap(page)
    shows(page, headline)


def shows(page: Any, headline: str) -> None:
    page.get_by_role("heading", level=1, name=headline, exact=True).wait_for()


def sign_in(context: Any, site: RunningServer, username: str) -> None:
    """Give a browser the session of another player, as the sign-in page does."""
    response = context.request.post(
        "/session", data={"username": username, "password": PASSWORD}, headers={"Origin": site.base_url}
    )
    assert response.status == 201


def outbox(page: Any) -> list[list[Any]]:
    """Return state, status and player of each scan on this phone, oldest first."""
    found: list[list[Any]] = page.evaluate(STATE)
    return found


def located(game: Game, **fields: Any) -> Any:
    """Create a code that needs the location, at Dam Square."""
    return game.code(requires_location=True, **PLACE, radius_m=50, **fields)
