"""PostgreSQL's protocol 3 byte by byte, for what no driver would send.

    with Wire(host, port) as wire:
        wire.login("app", "app", password="secret")
        wire.send(parse("", "SELECT 1"), bind(), execute(), sync())
        for kind, body in wire.until_ready():
            ...

Every read has a deadline. The peer closing the connection is Closed, an expired deadline is AssertionError: so 'error
or close, never a hang' can be told apart.
"""

import base64
import hashlib
import hmac
import os
import socket
import struct
import time

PROTOCOL_3_0 = 3 << 16
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102


class Closed(Exception):
    """The peer closed the connection."""


class ServerError(Exception):
    """An ErrorResponse where the caller expected none."""

    def __init__(self, fields):
        super().__init__("%s: %s" % (fields.get("C"), fields.get("M")))
        self.fields, self.sqlstate = fields, fields.get("C")


# -- messages of the client

def message(kind, body=b""):
    return kind.encode() + struct.pack("!i", len(body) + 4) + body


def text(value):
    return value.encode() + b"\0"


def startup(parameters, protocol=PROTOCOL_3_0):
    body = struct.pack("!i", protocol) + b"".join(text(k) + text(v) for k, v in parameters.items()) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def special(code, body=b""):
    """SSLRequest, GSSENCRequest, CancelRequest."""
    return struct.pack("!ii", len(body) + 8, code) + body


def cancel(pid, secret):
    """secret: bytes, four of them before protocol 3.2."""
    return special(CANCEL_REQUEST, struct.pack("!I", pid) + secret)


def query(sql):
    return message("Q", text(sql))


def parse(name, sql, types=()):
    return message("P", text(name) + text(sql) + struct.pack("!h%dI" % len(types), len(types), *types))


def bind(portal="", statement="", values=(), formats=(), results=()):
    body = text(portal) + text(statement) + struct.pack("!h%dh" % len(formats), len(formats), *formats)
    body += struct.pack("!h", len(values))
    for value in values:
        if value is None:
            body += struct.pack("!i", -1)
        else:
            value = value if isinstance(value, bytes) else str(value).encode()
            body += struct.pack("!i", len(value)) + value
    return message("B", body + struct.pack("!h%dh" % len(results), len(results), *results))


def describe(kind, name=""):
    return message("D", kind.encode() + text(name))


def execute(portal="", rows=0):
    return message("E", text(portal) + struct.pack("!i", rows))


def close(kind, name=""):
    return message("C", kind.encode() + text(name))


def sync():
    return message("S")


def flush():
    return message("H")


def terminate():
    return message("X")


def copy_data(data):
    return message("d", data)


def copy_done():
    return message("c")


def copy_fail(reason):
    return message("f", text(reason))


def function_call(oid, values, formats=(), result=0):
    body = struct.pack("!Ih%dh" % len(formats), oid, len(formats), *formats) + struct.pack("!h", len(values))
    for value in values:
        body += struct.pack("!i", len(value)) + value
    return message("F", body + struct.pack("!h", result))


# -- messages of the server

def error_fields(body):
    """ErrorResponse and NoticeResponse as {field letter: text}."""
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}


def row(body):
    """A DataRow as a list of bytes or None."""
    count, = struct.unpack_from("!h", body)
    values, at = [], 2
    for _ in range(count):
        length, = struct.unpack_from("!i", body, at)
        at += 4
        values.append(None if length < 0 else body[at:at + length])
        at += max(length, 0)
    return values


def rows(messages):
    return [row(body) for kind, body in messages if kind == "D"]


def kinds(messages):
    """The messages' letters in order, without those that may come at any time."""
    return "".join(kind for kind, _ in messages if kind not in "NSA")


def errors(messages):
    return [error_fields(body) for kind, body in messages if kind == "E"]


def sqlstates(messages):
    return [fields["C"] for fields in errors(messages)]


def tags(messages):
    return [body[:-1].decode() for kind, body in messages if kind == "C"]


class Wire:
    """One connection."""

    def __init__(self, host, port, deadline=10.0, receive_buffer=None):
        self.deadline = deadline
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(deadline)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending = bytearray()
        self.parameters, self.notices, self.key = {}, [], None
        self.status = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, *messages):
        try:
            self.socket.sendall(b"".join(messages))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed() from error

    def receive_bytes(self, count, deadline=None):
        """Exactly count bytes."""
        end = time.monotonic() + (deadline or self.deadline)
        while len(self.pending) < count:
            left = end - time.monotonic()
            assert left > 0, "no answer within the deadline (has %r)" % bytes(self.pending[:80])
            self.socket.settimeout(left)
            try:
                got = self.socket.recv(1 << 18)
            except socket.timeout:
                continue
            except ConnectionResetError as error:
                raise Closed() from error
            if not got:
                raise Closed()
            self.pending += got
        taken = bytes(self.pending[:count])
        del self.pending[:count]
        return taken

    def receive(self, deadline=None):
        """The next message as (letter, body); keeps ParameterStatus, notices, the key and the transaction status."""
        head = self.receive_bytes(5, deadline)
        length, = struct.unpack("!i", head[1:])
        assert 4 <= length < 1 << 30, "a message of length %d" % length
        kind, body = head[:1].decode("latin1"), self.receive_bytes(length - 4, deadline)
        if kind == "S":
            name, value = body.split(b"\0")[:2]
            self.parameters[name.decode()] = value.decode()
        elif kind == "N":
            self.notices.append(error_fields(body))
        elif kind == "K":
            self.key = struct.unpack_from("!I", body)[0], body[4:]
        elif kind == "Z":
            self.status = body.decode()
        return kind, body

    def until(self, stop, deadline=None):
        """All messages up to the first one whose letter is in stop."""
        messages = []
        while True:
            messages.append(self.receive(deadline))
            if messages[-1][0] in stop:
                return messages

    def until_ready(self, deadline=None):
        return self.until("Z", deadline)

    def until_closed(self, deadline=None):
        """All messages up to the end of the connection: AssertionError if it does not end."""
        messages = []
        try:
            while True:
                messages.append(self.receive(deadline))
        except Closed:
            return messages

    def drain(self, deadline=None):
        """All bytes, whatever they are, up to the end of the connection."""
        got = b""
        try:
            while True:
                got += self.receive_bytes(1, deadline)
        except Closed:
            return got

    def ask(self, *messages, deadline=None):
        """Sends and returns everything up to ReadyForQuery."""
        self.send(*messages)
        return self.until_ready(deadline)

    def login(self, user, dbname, password=None, protocol=PROTOCOL_3_0, **parameters):
        """Startup and authentication; returns all messages up to the first ReadyForQuery. ServerError if refused."""
        self.send(startup(dict({"user": user, "database": dbname}, **parameters), protocol))
        messages = []
        scram = None
        while True:
            kind, body = self.receive()
            messages.append((kind, body))
            if kind == "E":
                raise ServerError(error_fields(body))
            if kind == "Z":
                return messages
            if kind != "R":
                continue
            code, = struct.unpack_from("!i", body)
            if code == 3:
                self.send(message("p", text(password)))
            elif code == 5:
                self.send(message("p", text(md5_response(user, password, body[4:8]))))
            elif code == 10:
                scram = Scram(password)
                self.send(message("p", text("SCRAM-SHA-256") + struct.pack("!i", len(scram.first)) + scram.first))
            elif code == 11:
                self.send(message("p", scram.final(body[4:])))
            elif code == 12:
                assert scram.is_server_known(body[4:]), "the server's signature is wrong"


def md5_response(user, password, salt):
    inner = hashlib.md5((password + user).encode()).hexdigest()
    return "md5" + hashlib.md5(inner.encode() + salt).hexdigest()


class Scram:
    """The client's side of SCRAM-SHA-256 (RFC 5802), for passwords that SASLprep leaves as they are."""

    def __init__(self, password):
        self.password = password.encode()
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        self.bare = "n=,r=" + self.nonce
        self.first = ("n,," + self.bare).encode()

    def final(self, server_first):
        fields = dict(part.split("=", 1) for part in server_first.decode().split(","))
        assert fields["r"].startswith(self.nonce)
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = "c=biws,r=" + fields["r"]
        signed = ",".join([self.bare, server_first.decode(), without_proof]).encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
        return (without_proof + ",p=" + base64.b64encode(proof).decode()).encode()

    def is_server_known(self, server_final):
        return server_final == b"v=" + base64.b64encode(self.expected)
