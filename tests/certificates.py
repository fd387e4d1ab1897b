"""Certificates for tests, made with openssl: an authority, and who has one of it."""

import shutil
import subprocess
from typing import NamedTuple

import pytest

META = "/CN=client.webhooks.fbclientcerts.com/O=Meta Platforms, Inc./C=US"


class Certificate(NamedTuple):
    cert: object
    key: object


def _openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _key(file):
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", file]


class Authority:
    """An authority whose files are in `folder`; `cert` is the one to trust."""

    def __init__(self, folder, name="authority"):
        if not shutil.which("openssl"):
            pytest.skip("NOT TESTED: certificates; this needs openssl")
        self._folder = folder
        self.cert, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        _openssl("req", "-x509", *_key(self._key), "-out", self.cert, "-subj", f"/CN={name}", "-days", 100)

    def issue(self, name, subject, *, days=100, alternative="IP:127.0.0.1,DNS:localhost"):
        """Return a certificate of this authority for `subject`, as openssl writes it."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, more = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        more.write_text(f"subjectAltName={alternative}\n")
        _openssl("req", "-new", *_key(made.key), "-out", request, "-subj", subject)
        of = ["-CA", self.cert, "-CAkey", self._key, "-CAcreateserial"]
        _openssl("x509", "-req", "-in", request, *of, "-out", made.cert, "-days", days, "-extfile", more)
        return made
