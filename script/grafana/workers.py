"""The dashboard "Waymark: workers and stores": what workers do, and how the stores behind them are."""

from script.grafana.overview import quantile
from script.grafana.panels import Panel, Row

WORKERS = Row(
    "Workers",
    [
        Panel(
            "Duration of messages",
            {"{{le}}": "sum by (le) (increase(waymark_message_duration_seconds_bucket{$F}[$R]))"},
            "Messages by the time that their actor needed.",
            "s",
            "heatmap",
        ),
        Panel(
            "Messages",
            {"{{message}} {{outcome}}": "sum by (message, outcome) (rate(waymark_messages_total{$F}[$R]))"},
            "Per second.",
            "ops",
        ),
        Panel(
            "Messages in progress", {"{{queue}}": "sum by (queue) (waymark_messages_in_progress{$F})"}, "Now, by queue."
        ),
        Panel(
            "Time since the last fetch",
            {
                "{{instance}} {{queue}}": "time() - min by (instance, queue)"
                " (waymark_consumer_last_fetch_timestamp_seconds{$F})"
            },
            "A consumer that runs fetches every second.",
            "s",
        ),
        Panel("Scans judged together, p95", {"p95": quantile(0.95, "waymark_scan_batch_scans")}, "Up to 400."),
        Panel(
            "Scans dead-lettered",
            {"scans": "sum(increase(waymark_scans_dead_lettered_total{$F}[$R]))"},
            "Workers crashed on them three times.",
        ),
        Panel(
            "Images rendered",
            {"{{outcome}}": "sum by (outcome) (rate(waymark_render_images_total{$F}[$R])) or vector(0)"},
            "Per second.",
            "ops",
        ),
        Panel("Time of a chunk, p95", {"p95": quantile(0.95, "waymark_render_chunk_seconds")}, "Of a render.", "s"),
        Panel(
            "Rollups",
            {
                "events not included": "max(waymark_events_unaggregated)",
                "rows added per second": "sum(rate(waymark_rollup_rows_total{$F}[$R]))",
            },
            "Statistics lack the events that the rollups do not include.",
        ),
        Panel(
            "Time of a rollup batch, p95", {"p95": quantile(0.95, "waymark_rollup_seconds")}, "3,000 rows at most.", "s"
        ),
        Panel(
            "Cleaned up",
            {"{{kind}}": "sum by (kind) (increase(waymark_cleanup_removed_total{$F}[1h]))"},
            "Rows and files in an hour, by kind.",
        ),
        Panel(
            "Time since a task succeeded",
            {"{{task}}": "time() - max by (task) (waymark_job_last_success_timestamp_seconds)"},
            "cleanup runs every hour, rollup every few seconds.",
            "s",
        ),
        Panel(
            "Calls of the Quest Catalog",
            {"{{method}} {{code}}": "sum by (method, code) (rate(waymark_catalog_requests_total{$F}[$R]))"},
            "Per second, by status code.",
            "ops",
        ),
        Panel(
            "Memory of relay, scheduler and catalog",
            {"{{instance}}": "process_resident_memory_bytes{$F} and on (instance) waymark_build_info{$F}"},
            "Web and worker processes share their metrics, and cannot report their memory.",
            "bytes",
        ),
    ],
)
CONNECTIONS = Row(
    "Connections and files",
    [
        Panel(
            "Connections to PostgreSQL",
            {"{{instance}} {{state}}": "sum by (instance, state) (waymark_database_pool_connections{$F})"},
            "In the pools of Waymark's processes.",
        ),
        Panel(
            "Waits for a connection",
            {
                "waits per second": "sum(rate(waymark_database_pool_waits_total{$F}[$R]))",
                "seconds waited per second": "sum(rate(waymark_database_pool_wait_seconds_total{$F}[$R]))",
                "failures per second": "sum(rate(waymark_database_pool_errors_total{$F}[$R]))",
            },
            "If callers wait often, raise DATABASE_POOL_SIZE.",
        ),
        Panel(
            "Oldest transaction",
            {"age": "max(waymark_database_oldest_transaction_seconds)"},
            "A long one keeps dead rows, and delays its own events.",
            "s",
        ),
        Panel(
            "Storage errors",
            {"{{operation}}": "sum by (operation) (increase(waymark_storage_errors_total{$F}[$R])) or vector(0)"},
            "Of the directory or the bucket for files.",
        ),
        Panel(
            "Visits not stored yet", {"visits": "sum(waymark_visits_buffered{$F})"}, "In the memory of web processes."
        ),
        Panel(
            "Backup",
            {"age": "time() - max(waymark_backup_last_success_timestamp_seconds)"},
            "Age of the newest backup that passed a drill. Empty if there is none.",
            "s",
        ),
    ],
)
STORES = Row(
    "Stores, from their own exporters",
    [
        Panel(
            "PostgreSQL connections",
            {"{{instance}}": "sum by (instance) (pg_stat_activity_count) / on (instance) pg_settings_max_connections"},
            "The share of max_connections in use.",
            "percentunit",
        ),
        Panel(
            "PostgreSQL commits and deadlocks",
            {
                "commits": "sum(rate(pg_stat_database_xact_commit[$R]))",
                "deadlocks": "sum(rate(pg_stat_database_deadlocks[$R]))",
            },
            "Per second.",
            "ops",
        ),
        Panel(
            "Replication lag",
            {"{{instance}}": "max by (instance) (pg_replication_lag_seconds or pg_replication_lag)"},
            "Of each replica.",
            "s",
        ),
        Panel(
            "Dead rows of player_scans",
            {"dead": 'pg_stat_user_tables_n_dead_tup{relname="player_scans"}'},
            "Vacuum removes them. They grow behind a long transaction.",
        ),
        Panel(
            "Size of the database",
            {"{{datname}}": 'pg_database_size_bytes{datname!~"template.*"}'},
            "On disk.",
            "bytes",
        ),
        Panel(
            "Redis memory",
            {"{{instance}}": "redis_memory_used_bytes", "{{instance}} limit": "redis_memory_max_bytes > 0"},
            "Redis must not evict keys: queues are in it.",
            "bytes",
        ),
        Panel(
            "Redis clients and evictions",
            {
                "clients": "sum(redis_connected_clients)",
                "evicted per second": "sum(rate(redis_evicted_keys_total[$R]))",
            },
            "Evictions must be 0.",
        ),
        Panel(
            "RabbitMQ queues",
            {
                "{{queue}} ready": "sum by (queue) (rabbitmq_queue_messages_ready)",
                "{{queue}} unacknowledged": "sum by (queue) (rabbitmq_queue_messages_unacked)",
            },
            "Only with BROKER_URL=amqp://",
        ),
        Panel(
            "PgBouncer",
            {
                "clients waiting": "sum(pgbouncer_pools_client_waiting_connections)",
                "longest wait (s)": "max(pgbouncer_pools_client_maxwait_seconds)",
            },
            "Only behind a pooler.",
        ),
    ],
)
ROWS = (WORKERS, CONNECTIONS, STORES)
