"""What script/demo prints in the end."""

from script.demo import Played, where_to_look


def test_demo_names_the_pages_to_open() -> None:
    text = where_to_look("http://127.0.0.1:8000", Played("abc123", right=True, passwords={"owner-abc123": "secret"}))

    assert "http://127.0.0.1:8000/s/fountain-abc123" in text
    assert "http://127.0.0.1:8000/sign-in" in text
    assert "Username owner-abc123, password secret" in text
