"""Which requests are refused before anything looks at them, where it listens, and certificates."""

import socket
import ssl

import pytest
from certificates import make_certificate

from keras_transformer.errors import InputError
from keras_transformer.serving import descriptors, listening
from keras_transformer.serving.edge import Edge
from keras_transformer.serving.failures import Failure, Kind
from keras_transformer.serving.settings import Settings
from keras_transformer.serving.tls import Certificate


def refusal(edge, *headers, method="POST", path="/v1/models/tiny:predict", version="1.1"):
    """Why a request is refused, or ``None``."""
    scope = {
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "http_version": version,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    try:
        edge.check(scope)
    except Failure as failure:
        return failure.kind
    return None


@pytest.fixture
def edge():
    return Edge(Settings("none", allowed_hosts="translate.example.org, other.example."))


@pytest.mark.parametrize(
    "host",
    [
        "localhost:8501",
        "LOCALHOST",
        "127.0.0.1:8501",
        "[::1]:8501",
        "10.1.2.3",
        "x",
        "translator:8501",
        "page.localhost:1",
        "a.namespace.svc.cluster.local",
        "translate.example.org",
        "Other.Example.:443",
        socket.gethostname(),
        "",
    ],
)
def test_names_that_no_stranger_has_are_this_servers(edge, host):
    assert refusal(edge, ("host", host)) is None


@pytest.mark.parametrize(
    "host", ["evil.example.com", "evil.example.com:8501", "1.2.3.4.evil.com", "localhost.evil.com"]
)
def test_other_names_are_refused_save_by_health(edge, host):
    assert refusal(edge, ("host", host)) is Kind.MISDIRECTED
    assert refusal(edge, ("host", host), method="GET", path="/") is Kind.MISDIRECTED
    assert refusal(edge, ("host", host), method="GET", path="/healthz") is None
    assert refusal(Edge(Settings("none", allowed_hosts="*")), ("host", host)) is None
    assert refusal(Edge(Settings("none", host=host.partition(":")[0])), ("host", host)) is None


@pytest.mark.parametrize("host", ["a b", "user@localhost", "a/b", "[::1", "localhost:x", "a:1:2"])
def test_what_is_no_host_is_refused(edge, host):
    assert refusal(edge, ("host", host)) is Kind.INVALID


def test_a_page_must_come_from_the_server_itself_or_an_allowed_host(edge):
    def asked(host, origin):
        return refusal(edge, ("host", host), ("origin", origin))

    assert asked("localhost:8501", "http://localhost:8501") is None
    assert asked("localhost", "http://localhost:80") is None
    assert asked("localhost", "https://localhost:443") is None
    assert asked("internal:8501", "https://translate.example.org") is None
    for origin in (
        "null",
        "http://evil.example.com",
        "http://localhost:3000",
        "http://localhost:8501.evil.com",
        "http://translate.example.org.evil.com",
        "http://evil.com/translate.example.org",
        "",
    ):
        assert asked("localhost:8501", origin) is Kind.FORBIDDEN, origin
    assert refusal(edge, ("origin", "http://a")) is Kind.FORBIDDEN  # no Host, as HTTP/1.0 has it


def test_one_framing_one_type_and_a_bounded_head(edge):
    length, chunked = ("content-length", "5"), ("transfer-encoding", "chunked")
    assert refusal(edge, length) is None
    assert refusal(edge, chunked) is None
    assert refusal(edge, length, chunked) is Kind.INVALID
    assert refusal(edge, chunked, version="1.0") is Kind.INVALID
    assert refusal(edge, version="2.0") is Kind.INVALID
    assert refusal(edge, ("a", "b" * 40_000)) is Kind.LARGE_HEAD
    assert refusal(edge, path="/" + "a" * 40_000) is Kind.LARGE_HEAD
    for content_type in ("text/plain", "Text/Plain; charset=utf-8", "multipart/form-data; a=b"):
        assert refusal(edge, ("content-type", content_type)) is Kind.WRONG_ENCODING
    for content_type in (
        "application/json",
        "application/json; charset=utf-8",
        "application/x-www-form-urlencoded",  # what curl -d says
    ):
        assert refusal(edge, ("content-type", content_type)) is None


def test_forms_are_for_the_routes_of_clients_that_send_them(edge):
    form = ("content-type", "multipart/form-data; boundary=a")
    for path in ("/translate", "/translate_file", "/detect", "/languages"):
        assert refusal(edge, form, path=path) is None
        assert refusal(edge, form, ("origin", "http://a.b"), path=path) is Kind.FORBIDDEN
        text = ("content-type", "text/plain")
        assert refusal(edge, text, path=path) is Kind.WRONG_ENCODING
    for path in ("/translate/", "/translate_file/a", "/v1/translate", "/"):
        assert refusal(edge, form, path=path) is Kind.WRONG_ENCODING


@pytest.mark.parametrize("names", ["http://a.b", "a.b:80", "a b", "a.b/c", "**"])
def test_allowed_hosts_are_names(names):
    with pytest.raises(InputError, match="--allowed-hosts"):
        Settings("none", allowed_hosts=names)


def closed(listeners):
    places = [listener.getsockname()[:2] for listener in listeners]
    for listener in listeners:
        listener.close()
    return places


def resolving(*addresses):
    """`socket.getaddrinfo` of a name that has these addresses."""
    real = socket.getaddrinfo

    def getaddrinfo(host, *arguments, **options):
        if host != "name":
            return real(host, *arguments, **options)
        return [real(address, None, type=socket.SOCK_STREAM)[0] for address in addresses]

    return getaddrinfo


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_every_address_of_a_name_is_listened_on(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", resolving("127.0.0.1", "127.0.0.2", "127.0.0.1"))
    (first, port), (second, other) = closed(listening.listen("name", 0))
    assert (first, second) == ("127.0.0.1", "127.0.0.2")
    assert port == other > 0
    if has_ipv6():
        monkeypatch.setattr(socket, "getaddrinfo", resolving("::1", "127.0.0.1"))
        (first, port), (second, other) = closed(listening.listen("name", 0))
        assert (first, second) == ("::1", "127.0.0.1")
        assert port == other


def test_addresses_that_the_machine_lacks_are_left_out_unless_all_are(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", resolving("198.51.100.1", "127.0.0.1"))
    ((host, _),) = closed(listening.listen("name", 0))
    assert host == "127.0.0.1"
    monkeypatch.setattr(socket, "getaddrinfo", resolving("198.51.100.1", "198.51.100.2"))
    with pytest.raises(InputError, match="another --host"):
        listening.listen("name", 0)


def test_a_port_in_use_on_one_address_is_in_use(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", resolving("127.0.0.1", "127.0.0.2"))
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match="another --port"):
            listening.listen("name", port)
        with socket.create_server(("127.0.0.1", port)):
            pass  # nothing stayed open


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "a b",
        "a..b",
        "x" * 300,
        "256.1.1.1",
        "a\0b",
        "http://localhost",
        "\ud800",
        "198.51.100.1",
    ],
)
def test_odd_hosts_are_said_in_one_line(host):
    with pytest.raises(InputError, match="--host") as caught:
        listening.listen(host, 0)
    assert "\n" not in str(caught.value)


def test_a_certificate_that_cannot_be_used_is_one_line(tmp_path):
    good, other = make_certificate(tmp_path), make_certificate(tmp_path, "other")
    secret = make_certificate(tmp_path, "secret", password="word")
    for certificate, key in (
        (good.certificate, other.key),
        (good.key, good.key),
        (good.certificate, good.certificate),
        (tmp_path / "none", good.key),
        (tmp_path, good.key),
        (secret.certificate, secret.key),
    ):
        with pytest.raises(InputError, match="--certificate") as caught:
            Certificate.of(Settings("none", certificate=certificate, key=key))
        assert "\n" not in str(caught.value)
    for given in ({"certificate": good.certificate}, {"key": good.key}):
        with pytest.raises(InputError, match=r"--(certificate|key) needs --"):
            Settings("none", **given)
    assert Certificate.of(Settings("none")) is None


def test_a_certificate_is_read_again_when_it_changes(tmp_path):
    files = make_certificate(tmp_path)
    certificate = Certificate(files.certificate, files.key)
    first = certificate.context
    assert first.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not certificate.refresh()
    files.key.write_text("half a key")
    with pytest.raises(InputError, match="--certificate"):
        certificate.refresh()
    assert certificate.context is first
    assert not certificate.refresh()  # said once
    make_certificate(tmp_path)
    assert certificate.refresh()
    assert certificate.context is not first


@pytest.fixture
def limit(monkeypatch):
    """Sets what the system says of descriptors, and gives what was asked of it."""
    asked = []

    def set_limit(soft, hard):
        monkeypatch.setattr(descriptors.resource, "getrlimit", lambda kind: (soft, hard))
        monkeypatch.setattr(
            descriptors.resource, "setrlimit", lambda kind, limits: asked.append(limits)
        )
        return asked

    return set_limit


def test_there_are_no_more_connections_than_descriptors(limit):
    settings = Settings("none", max_connections=1000, max_connections_per_address=900)
    fit = descriptors.fit_to_descriptors
    asked = limit(10_000, 10_000)
    assert fit(settings) is settings
    assert not asked
    asked = limit(1024, 10_000)
    assert fit(settings) is settings
    assert asked == [(2256, 10_000)]
    limit(1024, 1024)
    fewer = fit(settings)
    assert (fewer.max_connections, fewer.max_connections_per_address) == (384, 192)
    alone = fit(Settings("none", max_connections=700, grpc_port=None))
    assert alone.max_connections == 700
    limit(100, 200)
    with pytest.raises(InputError, match="ulimit -n"):
        fit(settings)
