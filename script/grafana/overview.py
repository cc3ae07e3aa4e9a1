"""The dashboard "Waymark: overview": does the installation keep its promises, and which part does not."""

from script.grafana.panels import Panel, Row

ACCEPTED = 'waymark_http_requests_total{$F,route="/scan",method="POST"}'
FAILED = 'waymark_http_requests_total{$F,route="/scan",method="POST",status=~"5.."}'
ERRORS = f"(sum(increase({FAILED}[30d])) or vector(0)) / sum(increase({ACCEPTED}[30d]))"


def quantile(share: float, metric: str, by: str = "le") -> str:
    """Return the expression of a quantile of a histogram."""
    return f"histogram_quantile({share}, sum by ({by}) (rate({metric}_bucket{{$F}}[$R])))"


PROMISES = Row(
    "Promises",
    [
        Panel(
            "Scans accepted",
            {"": f"1 - {ERRORS}"},
            "The share of submitted scans without a server error in 30 days. The objective is 99.9 %.",
            "percentunit",
            "number",
            8,
            0.999,
        ),
        Panel(
            "Verdicts within 5 s",
            {
                "": 'sum(increase(waymark_scan_verdict_seconds_bucket{$F,le=~"5|5.0"}[30d]))'
                " / sum(increase(waymark_scan_verdict_seconds_count{$F}[30d]))"
            },
            "The share of scans that had their verdict within 5 seconds, in 30 days.",
            "percentunit",
            "number",
            8,
            0.99,
        ),
        Panel(
            "Allowed errors left",
            {"": f"1 - {ERRORS} / 0.001"},
            "1: no scan failed in 30 days. 0: the objective of 99.9 % is just met. Below 0: it is missed.",
            "percentunit",
            "number",
            8,
            0.25,
        ),
    ],
)
REQUESTS = Row(
    "Requests",
    [
        Panel(
            "Requests by class of status",
            {
                "{{class}}": 'sum by (class) (label_replace(rate(waymark_http_requests_total{$F}[$R]), "class",'
                ' "${1}xx", "status", "(.).*"))'
            },
            "Requests per second. 5xx are Waymark's failures, 4xx those of clients.",
            "reqps",
        ),
        Panel(
            "Duration of requests",
            {
                f"p{share * 100:g}": quantile(share, "waymark_http_request_duration_seconds")
                for share in (0.5, 0.95, 0.99)
            },
            "Half, 95 % and 99 % of all requests are faster.",
            "s",
        ),
        Panel(
            "Slowest routes, p95",
            {"{{route}}": f"topk(8, {quantile(0.95, 'waymark_http_request_duration_seconds', 'le, route')})"},
            "The eight slowest routes.",
            "s",
        ),
        Panel(
            "Requests in progress and event loop",
            {
                "in progress": "sum(waymark_http_requests_in_progress{$F})",
                "timer late by, p95 (s)": quantile(0.95, "waymark_event_loop_delay_seconds"),
            },
            "If timers are late by more than 0.1 s, web needs more processes.",
        ),
        Panel(
            "Password hashing",
            {
                "wait, p95 (s)": quantile(0.95, "waymark_password_queue_wait_seconds"),
                "queued": "sum(waymark_password_requests_queued{$F})",
            },
            "Log-ins and registrations wait for a slot, because each needs 64 MiB.",
        ),
        Panel(
            "Requests above a rate limit",
            {"{{limit}}": "sum by (limit) (rate(waymark_rate_limited_total{$F}[$R]))"},
            "Per second, by the limit. A school behind one address may need a higher one.",
            "reqps",
        ),
    ],
)
SCANS = Row(
    "Scans",
    [
        Panel(
            "Scans accepted and settled",
            {
                "accepted": 'sum(rate(waymark_scans_accepted_total{$F,answer="accepted"}[$R]))',
                "repeated": 'sum(rate(waymark_scans_accepted_total{$F,answer="repeated"}[$R]))',
                "settled": "sum(rate(waymark_scans_settled_total{$F}[$R]))",
            },
            "Per second. Settled falls behind accepted if workers are too slow.",
            "ops",
        ),
        Panel(
            "Time to the verdict",
            {"{{le}}": "sum by (le) (increase(waymark_scan_verdict_seconds_bucket{$F}[$R]))"},
            "Scans by the time from their receipt to their verdict.",
            "s",
            "heatmap",
        ),
        Panel(
            "Verdicts",
            {"{{status}} {{reason}}": "sum by (status, reason) (rate(waymark_scans_settled_total{$F}[$R]))"},
            "Per second, by status and reason.",
            "ops",
        ),
        Panel(
            "Rewards granted",
            {"{{source}}": "sum by (source) (rate(waymark_rewards_granted_total{$F}[$R]))"},
            "Per second.",
            "ops",
        ),
        Panel("Backlog", {"{{queue}}": "max by (queue) (waymark_backlog)"}, "Open work, by queue."),
        Panel(
            "Oldest open work",
            {"{{queue}}": "max by (queue) (waymark_backlog_oldest_seconds)"},
            "Its age. A scan should not wait for a minute.",
            "s",
        ),
    ],
)
LIVE = Row(
    "Live events",
    [
        Panel(
            "Leaders", {"{{role}} {{instance}}": "max by (role, instance) (waymark_leader)"}, "1: leads.", kind="states"
        ),
        Panel(
            "Relay lag", {"{{instance}}": "max by (instance) (waymark_relay_lag_seconds)"}, "Age of unsent events.", "s"
        ),
        Panel(
            "Open WebSockets",
            {"{{stream}}": "sum by (stream) (waymark_websockets_open{$F})"},
            "Of players, and of organizations for their staff.",
        ),
        Panel(
            "Closed WebSockets",
            {"{{reason}}": "sum by (reason) (rate(waymark_websockets_closed_total{$F}[$R]))"},
            "Per second. going_away: the process stopped. slow: the client did not read.",
            "ops",
        ),
        Panel(
            "Messages dropped",
            {"dropped": 'sum(rate(waymark_message_sends_total{$F,outcome="dropped"}[$R])) or vector(0)'},
            "Per second. Polls find their work, seconds later.",
            "ops",
        ),
        Panel(
            "Cache hits",
            {
                "{{cache}}": 'sum by (cache) (rate(waymark_cache_requests_total{$F,result=~"local|hit"}[$R]))'
                " / sum by (cache) (rate(waymark_cache_requests_total{$F}[$R]))"
            },
            "The share of lookups that found an entry.",
            "percentunit",
        ),
    ],
)
ROWS = (PROMISES, REQUESTS, SCANS, LIVE)
