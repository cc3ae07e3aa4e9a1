"""Register all pages. With `PAGES=false` only printed codes and screens have pages, which load nothing."""

from flask import Flask

from shared.settings import Settings
from web.pages import (
    accounts,
    analytics,
    api_keys,
    assets,
    audit_log,
    code_details,
    code_editor,
    code_maps,
    codes,
    designs,
    errors,
    home,
    imports,
    layout,
    live,
    members,
    organization_list,
    organization_settings,
    overview,
    placement,
    play,
    printed_paths,
    progress,
    pwa,
    quantities,
    quests,
    redemptions,
    renders,
    reviews,
    scans,
    screen_list,
    simulator,
)

PAGES = (
    home,
    accounts,
    play,
    pwa,
    organization_list,
    overview,
    codes,
    placement,
    code_details,
    designs,
    code_editor,
    code_maps,
    imports,
    analytics,
    members,
    api_keys,
    audit_log,
    organization_settings,
    scans,
    reviews,
    live,
    renders,
    quests,
    simulator,
    progress,
    redemptions,
    screen_list,
)


def init_app(app: Flask, settings: Settings) -> None:
    """Register the pages and their static files."""
    layout.init_app(app)
    errors.init_app(app, printed_paths.PREFIXES + settings.extra_code_path_prefixes)
    printed_paths.init_app(app, settings.extra_code_path_prefixes)
    if not settings.pages:
        return
    assets.init_app(app)
    quantities.init_app(app)
    for pages in PAGES:
        pages.init_app(app)
