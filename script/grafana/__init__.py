"""The dashboards of Grafana, written in Python."""
