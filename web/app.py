"""The application: wiring only."""

from flask_openapi import OpenAPI

from shared import logging
from shared.redis import refuse_eviction
from shared.refusals import doubts
from shared.settings import settings
from web import (
    accounts,
    analytics,
    audit,
    auth,
    business,
    codes,
    cors,
    customizations,
    documentation,
    edge,
    encounters,
    generate,
    headers,
    images,
    imports,
    keys,
    limits,
    live,
    metrics,
    operations,
    organizations,
    problems,
    profile,
    proxies,
    quests,
    renders,
    reviews,
    scans,
    timelines,
    visits,
)
from web.fields import StrictJSON


def create_app() -> OpenAPI:
    """The WSGI application, made once per process."""
    logging.configure("web")
    refuse_eviction()
    for doubt in doubts(settings()) if settings().is_production else ():
        logging.get_logger().warning("doubtful_setting", told=doubt)
    app = OpenAPI(
        __name__,
        static_folder=None,
        template_folder="pages",
        doc_ui=False,
        info=documentation.INFO,
        security_schemes=documentation.SECURITY_SCHEMES,
        validation_error_callback=problems.on_validation_error,
    )
    app.json = StrictJSON(app)
    app.url_map.converters["code_id"] = codes.CodeId
    proxies.init_app(app)
    problems.init_app(app)
    edge.name_requests(app)
    headers.init_app(app)
    cors.init_app(app)
    limits.init_app(app)
    auth.init_app(app)
    edge.check_bodies(app)
    slices = (
        accounts,
        profile,
        organizations,
        keys,
        audit,
        codes,
        imports,
        images,
        customizations,
        business,
        renders,
        visits,
        scans,
        reviews,
        encounters,
        generate,
        analytics,
        timelines,
        quests,
        live,
    )
    for part in (*slices, operations, metrics):
        app.register_api(part.api)
    live.init_app(app)
    documentation.init_app(app)
    edge.name_crowds(app)
    return app
