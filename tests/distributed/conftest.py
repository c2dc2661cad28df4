"""These tests need the extra `[beam]`, which has an environment of its own: see CONTRIBUTING.md."""

import importlib.util

if importlib.util.find_spec("apache_beam") is None:
    collect_ignore_glob = ["test_*.py"]
