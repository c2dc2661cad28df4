"""Self-signed certificates, made by the openssl command."""

import subprocess
from types import SimpleNamespace


def make_certificate(folder, name="localhost", password=None):
    """A certificate of a name and 127.0.0.1 and its key, as files of the folder."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    names = f"subjectAltName=DNS:{name},IP:127.0.0.1,IP:::1"
    subject = ["-subj", f"/CN={name}", "-addext", names]
    secret = ["-nodes"] if password is None else ["-passout", f"pass:{password}"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]
    subprocess.run(
        ["openssl", "req", "-x509", *kind, *secret, *subject, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return SimpleNamespace(key=key, certificate=certificate)
