"""The certificate of both interfaces, read again when its files change."""

import ssl
from pathlib import Path

import grpc

from keras_transformer.errors import InputError
from keras_transformer.files import reason_of
from keras_transformer.serving.settings import Settings


class Certificate:
    """A certificate and its key.

    Args:
        certificate: a file in PEM: the certificate, and those between it and the root.
        key: a file in PEM, without a password.

    Attributes:
        context: for new connections of HTTPS.

    Raises:
        InputError: when they cannot be used.
    """

    def __init__(self, certificate: Path, key: Path):
        self._certificate, self._key = certificate, key
        self._state = self._look()
        self._read()

    @classmethod
    def of(cls, settings: Settings) -> "Certificate | None":
        """That of the settings, if they name one."""
        if not settings.certificate:
            return None
        return cls(Path(settings.certificate), Path(settings.key))

    def refresh(self) -> bool:
        """Reads the files if they have changed, and says whether it did.

        Raises:
            InputError: when they cannot be used. The certificate stays what it was, and they are
                not read again before they change.
        """
        state = self._look()
        if state == self._state:
            return False
        self._state = state
        self._read()
        return True

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For a port of gRPC; new connections get the newest certificate."""
        return grpc.dynamic_ssl_server_credentials(self._configuration, lambda: self._configuration)

    def _look(self) -> list:
        """What tells whether the files have changed."""
        found = []
        for path in (self._certificate, self._key):
            try:
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except OSError:
                found.append(None)
        return found

    def _read(self) -> None:
        try:
            chain, key = self._certificate.read_bytes(), self._key.read_bytes()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_alpn_protocols(["http/1.1"])
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise InputError(
                f"--certificate {self._certificate} --key {self._key}: cannot be used "
                f"({_reason(error)}): give a certificate and its own key, in PEM."
            ) from error
        self.context = context
        self._configuration = grpc.ssl_server_certificate_configuration([(key, chain)])


def _no_password() -> str:
    raise ValueError("the key has a password")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return reason_of(error)
