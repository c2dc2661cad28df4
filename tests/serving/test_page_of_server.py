"""The page as the real server serves it: the laws of test_page.py that hold for any server."""

import inspect

import pytest
import test_page
from test_page import browser, page  # noqa: F401  fixtures
from tiny_server import running_server


@pytest.fixture(scope="module")
def address(tiny_export):
    with running_server(tiny_export) as server:
        yield server.url


globals().update(
    (name, function)
    for name, function in vars(test_page).items()
    if name.startswith("test_")
    and not {"toy", "words_page", "menus_page"} & set(inspect.signature(function).parameters)
)
