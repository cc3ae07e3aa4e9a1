"""Sign in and create an account in a real browser."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import PASSWORD
from tests.pages.browsers import Api, Complaints

pytestmark = pytest.mark.system


def fill(page: Any, **values: str) -> None:
    for label, value in values.items():
        page.get_by_label(label, exact=True).fill(value)


def test_account_is_created_and_signs_in_again(phone: Any, api: Api, complaints: Complaints) -> None:
    name = api.register()["username"]
    phone.goto("/create-account?next=/about")
    fill(phone, Username=name, Password=PASSWORD)
    complaints.expect("409")
    phone.get_by_role("button", name="Create account").click()
    phone.get_by_text("That username is taken.").wait_for()
    assert phone.evaluate("document.activeElement.id") == "username"
    fill(phone, Username=f"{name}2")
    phone.get_by_role("button", name="Create account").click()
    phone.wait_for_url(lambda url: "create-account" not in url)

    assert {cookie["httpOnly"] for cookie in phone.context.cookies() if cookie["name"] == "waymark"} == {True}
    phone.goto("/sign-in?next=/about")
    assert phone.url.endswith("/about"), "already signed in"


def test_wrong_password_says_so_and_keeps_the_focus_there(phone: Any, api: Api, complaints: Complaints) -> None:
    name = api.register()["username"]
    phone.goto("/sign-in")
    fill(phone, Username=name, Password="not the password")
    complaints.expect("401")
    phone.get_by_role("button", name="Sign in").click()
    phone.get_by_text("Incorrect username or password.").wait_for()
    assert phone.evaluate("document.activeElement.id") == "password"

    fill(phone, Password=PASSWORD)
    phone.keyboard.press("Enter")
    phone.wait_for_url(lambda url: "/sign-in" not in url)


def test_field_errors_appear_at_their_fields(desktop: Any, complaints: Complaints) -> None:
    desktop.goto("/create-account")
    fill(desktop, Username="a", Password="short")
    complaints.expect("422")
    desktop.get_by_role("button", name="Create account").click()
    desktop.locator("#username-error").get_by_text("3").wait_for()
    assert desktop.get_by_label("Username").get_attribute("aria-invalid") == "true"


def test_password_can_be_shown(desktop: Any) -> None:
    desktop.goto("/sign-in")
    fill(desktop, Password=PASSWORD)
    desktop.get_by_role("button", name="Show password").click()
    assert desktop.get_by_label("Password", exact=True).get_attribute("type") == "text"
    desktop.get_by_role("button", name="Hide password").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_innerhtml_and_inline_scripts_are_refused(
    open_context: Callable[..., Any], complaints: Complaints, scheme: str
) -> None:
    page = open_context(color_scheme=scheme).new_page()
    page.goto("/about/components")
    complaints.expect("violation: require-trusted-types-for")
    complaints.expect("TrustedHTML")
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>x</b>'")
