"""The web application: wiring only."""

from flask_openapi import OpenAPI

from shared.infra import build_info, logging
from shared.infra.redis import require_no_eviction
from shared.settings import settings as read_settings
from shared.settings_checks import find_production_warnings
from web.api import (
    accounts,
    analytics,
    api_keys,
    audit,
    blank_codes,
    browser_sessions,
    code_aliases,
    code_maps,
    codes,
    compatibility,
    customizations,
    design_previews,
    encounters,
    generated_codes,
    health,
    images,
    imports,
    invitations,
    items,
    label_templates,
    many_codes,
    members,
    metrics,
    organization_designs,
    organization_logos,
    organization_quests,
    organizations,
    placements,
    player_names,
    profile,
    progress,
    quest_simulation,
    quests,
    received_invitations,
    redemption_reports,
    redemption_tokens,
    redemptions,
    render_downloads,
    renders,
    reviews,
    scan_batches,
    scan_list,
    scans,
    screens,
    sessions,
    slug_aliases,
    tags,
    timelines,
)
from web.http import (
    auth,
    cors,
    file_responses,
    openapi_texts,
    problems,
    proxy_headers,
    rate_limits,
    request_context,
    request_metrics,
    request_tracing,
    security_headers,
)
from web.http import settings as app_settings
from web.http.schemas import StrictJSONProvider
from web.pages import blueprint as pages
from web.pages import brand_files, docs, extra_code_paths, visits
from web.pages import invitations as invitation_pages
from web.pages import organizations as organization_pages
from web.pages import screens as screen_pages
from web.realtime import fanout, verdict_waiters, websockets


def create_app() -> OpenAPI:
    """Return the WSGI application of this process. It reads the settings, and opens no connection."""
    settings = read_settings()
    logging.configure("web")
    build_info.record()
    require_no_eviction()
    for warning in find_production_warnings(settings) if settings.is_production else ():
        logging.get_logger().warning("suspicious_setting", warning=warning)
    app = OpenAPI(
        __name__,
        static_folder=None,
        template_folder="pages/templates",
        doc_ui=False,
        info=openapi_texts.INFO,
        security_schemes=openapi_texts.SECURITY_SCHEMES,
        validation_error_callback=problems.on_validation_error,
    )
    app.json = StrictJSONProvider(app)
    app.url_map.converters["code_id"] = codes.CodeIdConverter
    app.url_map.converters["quest_name"] = organization_quests.QuestNameConverter
    app_settings.init_app(app, settings)
    proxy_headers.init_app(app, settings.trusted_proxies)
    problems.init_app(app)
    request_tracing.init_app(app, settings)
    request_metrics.init_app(app)
    request_context.assign_request_ids(app)
    security_headers.init_app(app)
    cors.init_app(app)
    rate_limits.init_app(app, is_enabled=settings.rate_limits_enabled)
    auth.init_app(app, settings)
    request_context.check_request_bodies(app)
    slices = (
        accounts,
        profile,
        sessions,
        organizations,
        slug_aliases,
        members,
        invitations,
        received_invitations,
        invitation_pages,
        api_keys,
        audit,
        many_codes,  # with the routes of codes, because it shares a path with them
        code_maps,
        placements,
        tags,
        code_aliases,
        imports,
        blank_codes,
        images,
        customizations,
        design_previews,
        organization_pages,
        organization_logos,
        organization_designs,
        brand_files,
        renders,
        render_downloads,
        label_templates,
        visits,
        screens,
        screen_pages,
        scans,
        scan_batches,
        reviews,
        scan_list,
        progress,
        player_names,
        encounters,
        redemption_tokens,
        redemptions,
        redemption_reports,
        items,
        generated_codes,
        compatibility,
        analytics,
        timelines,
        quests,
        organization_quests,
        quest_simulation,
        websockets,
    )
    for part in (*slices, health, metrics, *([browser_sessions] if settings.pages else [])):
        app.register_api(part.api)
    file_responses.init_app(app, file_responses.MAX_DOWNLOADS)
    fanout.init_app(app, verdict_waiters.MAX_WAITERS)
    websockets.init_app(app)
    health.init_app(app)
    metrics.init_app(app)
    docs.init_app(app)
    pages.init_app(app, settings)
    extra_code_paths.init_app(app, settings.extra_code_paths)
    request_context.register_serialized_routes(app)
    return app
