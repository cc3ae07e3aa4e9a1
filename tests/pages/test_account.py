"""The account in a real browser: profile, preferences, devices, password and deletion."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import PASSWORD
from tests.pages.browsers import Api, Complaints
from tests.pages.test_sign_in import fill

pytestmark = pytest.mark.system


def sign_in(page: Any, name: str, password: str = PASSWORD) -> None:
    page.goto("/sign-in?next=/account")
    fill(page, Username=name, Password=password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "sign-in" not in url)


@pytest.fixture
def name(api: Api) -> str:
    return str(api.register()["username"])


def test_profile_theme_and_password_are_changed(desktop: Any, name: str, complaints: Complaints) -> None:
    sign_in(desktop, name)
    desktop.get_by_label("Time zone").select_option("Asia/Kathmandu")
    desktop.get_by_label("Email (optional)").fill("ada@example.com")
    desktop.get_by_role("button", name="Save").click()
    desktop.get_by_text("Saved").wait_for()
    desktop.get_by_label("Dark").check()
    desktop.reload()
    assert desktop.locator("html").get_attribute("data-theme") == "dark"
    assert desktop.get_by_label("Time zone").input_value() == "Asia/Kathmandu"
    assert desktop.get_by_label("Email (optional)").input_value() == "ada@example.com"

    desktop.get_by_label("Current password").fill("not the password")
    desktop.get_by_label("New password").fill("another good password")
    complaints.expect("403")
    desktop.get_by_role("button", name="Change password").click()
    desktop.get_by_text("The current password is wrong.").wait_for()
    desktop.get_by_label("Current password").fill(PASSWORD)
    desktop.get_by_role("button", name="Change password").click()
    desktop.get_by_text("Password changed.").wait_for()


def test_session_continues_on_another_device_once(
    desktop: Any, open_context: Callable[..., Any], name: str, complaints: Complaints
) -> None:
    sign_in(desktop, name)
    with desktop.expect_response("**/session/transfers") as created:
        desktop.get_by_role("button", name="Continue on another device").click()
    link = created.value.json()["transfer_url"]
    desktop.get_by_alt_text("QR code of the link").wait_for()
    phone, late = open_context(phone=True).new_page(), open_context(phone=True).new_page()
    late.goto(link)
    late.get_by_text(f"Continue as {name} on this device?").wait_for()
    phone.goto(link)
    assert "#" not in phone.url
    phone.get_by_role("button", name="Continue").click()
    phone.wait_for_url(lambda url: "/continue" not in url)
    # Its requests are answered before the desktop ends its session.
    phone.wait_for_load_state("networkidle")
    complaints.expect("410")
    late.get_by_role("button", name="Continue").click()
    late.get_by_text("This link has expired.").wait_for()

    desktop.reload()
    devices = desktop.locator("#devices li")
    assert devices.count() >= 2
    desktop.get_by_role("button", name="Sign out").nth(1).click()
    desktop.get_by_text("Signed out there.").wait_for()


def test_account_is_deleted_with_its_organization(desktop: Any, name: str, complaints: Complaints) -> None:
    sign_in(desktop, name)
    desktop.goto("/o")
    desktop.get_by_role("button", name="Create organization").click()
    desktop.get_by_label("Name", exact=True).fill("Harbor Trail Ü")
    desktop.get_by_text("/b/harbor-trail-u").wait_for()
    desktop.get_by_role("button", name="Change").click()
    assert desktop.get_by_label("Short name in addresses").input_value() == "harbor-trail-u"
    desktop.get_by_label("Short name in addresses").fill(f"h-{name}")
    desktop.get_by_role("button", name="Create", exact=True).click()
    desktop.wait_for_url(f"**/o/h-{name}")

    desktop.goto("/account")
    desktop.locator("#delete-account").click()
    desktop.get_by_text("You're the only owner of Harbor Trail Ü.").wait_for()
    desktop.get_by_label("Password", exact=True).last.fill(PASSWORD)
    desktop.get_by_role("dialog").get_by_role("button", name="Delete account").click()
    desktop.wait_for_url(lambda url: "/account" not in url)
    complaints.expect("401")
    sign_in_again = desktop.context.new_page()
    sign_in_again.goto("/sign-in")
    fill(sign_in_again, Username=name, Password=PASSWORD)
    sign_in_again.get_by_role("button", name="Sign in").click()
    sign_in_again.get_by_text("Incorrect username or password.").wait_for()
