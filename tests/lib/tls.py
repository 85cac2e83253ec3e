"""A client's side of TLS by Python's ssl, what no client would do, and somebody between client and server.

    with TlsWire(seawall, context(certs.ca)) as wire:
        wire.login("app_trust", "app")
    with Between(node) as between:        # in the node's place; passes everything
        between.how = ends_tls(pair, ca)  # from now on it reads what passes
"""

import contextlib
import ctypes
import hmac
import os
import select
import socket
import ssl
import struct
import threading

from lib import proc
from lib.cluster import HOST
from lib.proxy import Seawall
from lib.wire import SSL_REQUEST, Closed, Wire, special

ALPN = ["postgresql"]


def context(ca, pair=None, version=None, alpn=None):
    """What a client wants of TLS: who may have signed the server's certificate, what to show, one version or any."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(ca)
    if pair:
        made.load_cert_chain(pair.cert, pair.key)
    if version:
        made.minimum_version = made.maximum_version = version
    if alpn:
        made.set_alpn_protocols(alpn)
    return made


def unix_socket(directory, port):
    """Connected to the socket of a server in its directory."""
    connected = socket.socket(socket.AF_UNIX)
    connected.settimeout(10)
    connected.connect("%s/.s.PGSQL.%d" % (directory, port))
    return connected


class Over(Wire):
    """A Wire over a socket that is connected already."""

    def __init__(self, connected, deadline=10.0):
        self.deadline, self.socket, self.pending = deadline, connected, bytearray()
        self.parameters, self.notices, self.key, self.status = {}, [], None, None


class TlsWire(Wire):
    """A Wire inside of TLS: asked for with SSLRequest, or begun at once where asks is false."""

    def __init__(self, server, tls, asks=True, session=None, name="localhost", **kw):
        super().__init__(server.host, server.port, **kw)
        try:
            if asks:
                self.send(special(SSL_REQUEST))
                answer = self.receive_bytes(1)
                assert answer == b"S", "SSLRequest was answered with %r" % answer
            self.socket = tls.wrap_socket(self.socket, server_hostname=name, session=session)
        except BaseException:
            self.close()
            raise


class Showing(Seawall):
    """A Seawall to which drivers show a certificate unless told otherwise: start() waits with a driver's help."""

    def __init__(self, cluster, pair, **kw):
        self.pair = pair
        super().__init__(cluster, **kw)

    def conninfo(self, user="app", dbname="app", **kw):
        return super().conninfo(user, dbname, **dict({"sslcert": self.pair.cert, "sslkey": self.pair.key}, **kw))


# -- by hand

class Hello:
    """A handshake whose bytes the test carries."""

    def __init__(self, certs, alpn=None, version=None, ciphers=None):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.log = os.path.join(proc.make_dir("secrets"), "log")
        made = context(certs.ca, alpn=alpn, version=version)
        made.keylog_filename = self.log
        if ciphers:
            made.set_ciphers(ciphers)
        self.tls = made.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def step(self):
        """What is to be sent next; None when the handshake is over."""
        try:
            self.tls.do_handshake()
            return None
        except ssl.SSLWantReadError:
            return self.outgoing.read()

    def secrets(self):
        """What was agreed on, as in SSLKEYLOGFILE."""
        with open(self.log) as lines:
            return next(line for line in lines if not line.startswith("#"))


class Sealer:
    """Seals handshake records of TLS 1.2 with AES-128-GCM, after a handshake of Hello's, when no library would."""

    def __init__(self, secrets, server_random):
        label, client_random, master = secrets.split()
        assert label == "CLIENT_RANDOM"
        seed = b"key expansion" + server_random + bytes.fromhex(client_random)
        block, part = b"", seed
        while len(block) < 40:  # RFC 5246, section 5: keys of 16 bytes, then salts of 4, the client's first
            part = hmac.digest(bytes.fromhex(master), part, "sha256")
            block += hmac.digest(bytes.fromhex(master), part + seed, "sha256")
        self.key, self.salt, self.number = block[:16], block[32:36], 1
        # OpenSSL as Python's ssl module has it.
        self.lib = ctypes.CDLL(ssl._ssl.__file__)
        self.lib.EVP_CIPHER_CTX_new.restype = self.lib.EVP_aes_128_gcm.restype = ctypes.c_void_p
        self.cipher = ctypes.c_void_p(self.lib.EVP_CIPHER_CTX_new())
        kind = ctypes.c_void_p(self.lib.EVP_aes_128_gcm())
        assert self.lib.EVP_EncryptInit_ex(self.cipher, kind, None, self.key, None) == 1
        self.out, self.len = ctypes.create_string_buffer(64), ctypes.c_int()

    def seal(self, plain_text):
        number = struct.pack("!Q", self.number)
        self.number += 1
        at, lib = ctypes.byref(self.len), self.lib
        lib.EVP_EncryptInit_ex(self.cipher, None, None, None, self.salt + number)
        lib.EVP_EncryptUpdate(self.cipher, None, at, number + struct.pack("!BHH", 22, 0x303, len(plain_text)), 13)
        lib.EVP_EncryptUpdate(self.cipher, self.out, at, plain_text, len(plain_text))
        sealed = self.out.raw[:len(plain_text)]
        lib.EVP_EncryptFinal_ex(self.cipher, self.out, at)
        lib.EVP_CIPHER_CTX_ctrl(self.cipher, 16, 16, self.out)  # EVP_CTRL_AEAD_GET_TAG
        record = number + sealed + self.out.raw[:16]
        return struct.pack("!BHH", 22, 0x303, len(record)) + record


# -- somebody between client and server

def pump(one, other):
    """Copies both ways until one of them ends."""
    while True:
        for ready in select.select([one, other], [], [])[0]:
            data = ready.recv(1 << 16)
            while data and isinstance(ready, ssl.SSLSocket) and ready.pending():
                data += ready.recv(1 << 16)
            if not data:
                return
            (other if ready is one else one).sendall(data)


def passes(between, client):
    """Changes nothing, and notes how each connection begins."""
    head = client.recv(8, socket.MSG_WAITALL)
    between.heads.append(head)
    with socket.create_connection((between.server.host, between.server.port)) as server:
        server.sendall(head)
        pump(client, server)


def answers(data):
    """Answers the first packet with data; with nothing it goes."""
    def how(between, client):
        between.heads.append(client.recv(8, socket.MSG_WAITALL))
        client.sendall(data)
        if data:
            client.recv(1 << 16)
    return how


def ends_tls(pair, ca):
    """Has a certificate and a key of its own, and reads what passes."""
    inner = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inner.load_cert_chain(pair.cert, pair.key)

    def how(between, client):
        between.heads.append(client.recv(8, socket.MSG_WAITALL))
        client.sendall(b"S")
        with inner.wrap_socket(client, server_side=True) as towards_client:
            with TlsWire(between.server, context(ca)) as wire:
                pump(towards_client, wire.socket)
    return how


class Between:
    """Stands in the place of a server and treats each new connection as `how` is at that moment."""

    def __init__(self, server, how=passes):
        self.server, self.how, self.heads = server, how, []
        self.listener = socket.create_server((HOST, 0))
        self.host, self.port = self.listener.getsockname()

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._treat, args=(client,), daemon=True).start()

    def _treat(self, client):
        with contextlib.suppress(OSError, Closed), client:
            self.how(self, client)

    def as_node(self, name="pg1"):
        return {"nodes": {name: "host=%s port=%d" % (self.host, self.port)}}
