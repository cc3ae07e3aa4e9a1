"""What script/demo prints in the end."""

from script.demo import Played, where_to_look


def test_demo_names_the_pages_to_open() -> None:
    played = Played("abc123", "city-quest", right=True, passwords={"owner-abc123": "secret"})

    text = where_to_look("http://127.0.0.1:8000", played)

    assert "http://127.0.0.1:8000/s/fountain-abc123" in text
    assert "http://127.0.0.1:8000/sign-in?next=/o/city-quest" in text
    assert "Username owner-abc123, password secret" in text
