"""Certificates for both sides of TLS, made with the openssl command once a test run.

    certs = make_certs()
    with Cluster(conf=certs.of_node()) as cluster:
        with Seawall(cluster, config={"seawall": certs.for_clients("require")}) as seawall:
            seawall.connect(sslmode="verify-full", sslrootcert=certs.ca)

All files belong to the user under which servers run; keys have mode 600, so root reads them too, and nobody else.
"""

import functools
import os
import shutil
import ssl

from lib import proc

DAYS = "3"
P256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]


class Pair:
    """A certificate and its key."""

    def __init__(self, directory, name):
        self.cert, self.key = os.path.join(directory, name + ".crt"), os.path.join(directory, name + ".key")

    def der(self):
        """The certificate as a peer sees it (getpeercert)."""
        with open(self.cert) as text:
            return ssl.PEM_cert_to_DER_cert(text.read())

    def copy_to(self, other):
        """Puts this pair into the files of another, as whoever renews a certificate does."""
        for source, target in ((self.cert, other.cert), (self.key, other.key)):
            shutil.copyfile(source, target)
            os.chmod(target, 0o600)
            proc.own(target)
        return other


class Certs:
    """What make_certs() makes, in one directory.

    ca, other_ca     certificates of two authorities; nobody trusts both
    server           RSA, signed by ca, for localhost and 127.0.0.1
    renewed          the same names, another key
    elsewhere        signed by ca, for another host
    ec384, ed25519   signed by themselves with ECDSA and SHA-384, and with Ed25519, for localhost and 127.0.0.1
    client(name)     a client's certificate for the common name, signed by ca
    stranger         one of other_ca's, for the common name app
    expired          one of ca's for app whose time is over
    """

    def __init__(self, directory):
        self.directory = directory
        self._clients = {}
        self.ca = self._authority("ca", "rsa:2048").cert
        self.other_ca = self._authority("other-ca", "rsa:2048").cert
        here = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        self.server = self._signed("server", "localhost", "ca", here, ["-newkey", "rsa:2048"])
        self.renewed = self._signed("renewed", "localhost", "ca", here)
        self.elsewhere = self._signed("elsewhere", "elsewhere.example", "ca", "subjectAltName=DNS:elsewhere.example")
        self.ec384 = self._alone("ec384", here, ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"])
        self.ed25519 = self._alone("ed25519", here, ["-newkey", "ed25519"])
        self.stranger = self._signed("stranger", "app", "other-ca")
        self.expired = self._signed("expired", "app", "ca", days="-1")

    def path(self, name):
        return os.path.join(self.directory, name)

    def openssl(self, *argv):
        proc.run(["openssl"] + list(argv), cwd=self.directory)

    def _authority(self, name, kind):
        self.openssl("req", "-x509", "-newkey", kind, "-nodes", "-keyout", name + ".key", "-out", name + ".crt",
                     "-subj", "/CN=" + name, "-days", DAYS)
        return Pair(self.directory, name)

    def _alone(self, name, names, kind):
        self.openssl("req", "-x509", "-nodes", "-keyout", name + ".key", "-out", name + ".crt", "-subj",
                     "/CN=localhost", "-days", DAYS, "-addext", names, *kind)
        return self._locked(name)

    def _signed(self, name, common_name, authority, names=None, kind=P256, days=DAYS):
        """Signed with RSA and SHA-256, whatever its own key is."""
        self.openssl("req", "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + common_name,
                     *kind, *(["-addext", names] if names else []))
        self.openssl("x509", "-req", "-in", name + ".csr", "-CA", authority + ".crt", "-CAkey", authority + ".key",
                     "-CAcreateserial", "-out", name + ".crt", "-days", days, "-copy_extensions", "copy")
        return self._locked(name)

    def _locked(self, name):
        pair = Pair(self.directory, name)
        os.chmod(pair.key, 0o600)
        return pair

    def client(self, common_name):
        if common_name not in self._clients:
            name = "client-%d" % len(self._clients)
            self._clients[common_name] = self._signed(name, common_name, "ca")
        return self._clients[common_name]

    # -- configuration

    def for_clients(self, sslmode, pair=None, **more):
        """Keys of [seawall] for TLS with clients."""
        pair = pair or self.server
        return dict({"client_tls_sslmode": sslmode, "client_tls_cert_file": pair.cert, "client_tls_key_file": pair.key,
                     "client_tls_ca_file": self.ca}, **more)

    def for_nodes(self, sslmode, **more):
        """Keys of [seawall] for TLS with nodes."""
        return dict({"server_tls_sslmode": sslmode, "server_tls_ca_file": self.ca}, **more)

    def of_node(self, pair=None):
        """Settings of a node that speaks TLS."""
        pair = pair or self.server
        return {"ssl": "on", "ssl_cert_file": pair.cert, "ssl_key_file": pair.key, "ssl_ca_file": self.ca}


@functools.lru_cache(maxsize=None)
def make_certs():
    """This run's certificates."""
    return Certs(proc.make_dir("certs"))
