"""Speaks the chat protocol to a server, as PROTOCOL.md and the published conventions have it, with a client that knows
nothing of throng: PyPI's `websockets`, and Python's own HTTP and HMAC.

Usage: chat_client.py HOST:PORT API_KEY SECRET_FILE. Ends with 0 and "all fine", or with what was wrong.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

import websockets

HOST, KEY, SECRET = sys.argv[1], sys.argv[2], open(sys.argv[3], "rb").read().strip()
DEADLINE = 10


def jwt(claims, secret=SECRET, alg="HS256"):
    part = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    text = part(json.dumps({"alg": alg, "typ": "JWT"}).encode()) + b"." + part(json.dumps(claims).encode())
    return (text + b"." + part(hmac.new(secret, text, hashlib.sha256).digest())).decode()


def call(method, path, body=None, user="ann", token=None, key=KEY, raw=None, **query):
    """One API call: (status, answer, headers)."""
    query = urllib.parse.urlencode({"api_key": key, **query})
    data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
    request = urllib.request.Request(f"http://{HOST}{path}?{query}", data=data, method=method)
    request.add_header("Authorization", jwt({"user_id": user}) if token is None else token)
    request.add_header("stream-auth-type", "jwt")
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return answer.status, json.loads(answer.read()), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), error.headers


def connect(user, token=None, key=KEY, details=None, **how):
    who = {"user_id": user, "user_details": details or {"id": user, "name": user.title()}}
    query = {"json": json.dumps(who), "api_key": key, "stream-auth-type": "jwt"}
    query["authorization"] = jwt({"user_id": user}) if token is None else token
    return websockets.connect(f"ws://{HOST}/connect?{urllib.parse.urlencode(query)}", open_timeout=DEADLINE, **how)


async def event(socket, kind):
    """The next event of this type."""
    while True:
        got = json.loads(await asyncio.wait_for(socket.recv(), DEADLINE))
        if got["type"] == kind:
            return got


async def in_thread(*args, **kwargs):
    return await asyncio.get_running_loop().run_in_executor(None, lambda: call(*args, **kwargs))


def same(what, got, want):
    assert got == want, f"{what}: got {got!r}, want {want!r}"


async def conversation():
    async with connect("ann") as ann, connect("bob") as bob:
        hello = json.loads(await asyncio.wait_for(ann.recv(), DEADLINE))
        same("first event", hello["type"], "health.check")
        assert 0 < len(hello["connection_id"]) <= 36, hello
        same("me", hello["me"]["id"], "ann")
        bobs = (await event(bob, "health.check"))["connection_id"]
        path = "/channels/messaging/python"
        status, answer, headers = await in_thread("POST", path + "/query", {"watch": True, "state": True}, connection_id=hello["connection_id"])
        assert status in (200, 201), (status, answer)
        same("channel", answer["channel"]["cid"], "messaging:python")
        assert "duration" in answer and isinstance(answer["seq"], int), answer
        for header in ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"):
            assert headers[header] is not None, f"no {header}"
        await in_thread("POST", path + "/query", {"watch": True}, user="bob", connection_id=bobs)

        message = {"message": {"id": "python-1", "text": "hello, bob ✓", "mood": {"kept": True}}}
        status, answer, _ = await in_thread("POST", path + "/message", message)
        assert status in (200, 201), (status, answer)
        for socket in (ann, bob):
            new = await event(socket, "message.new")
            same("text", new["message"]["text"], "hello, bob ✓")
            same("custom field", new["message"]["mood"], {"kept": True})
            same("sender", new["user"]["id"], "ann")
            same("cid", new["cid"], "messaging:python")
            assert isinstance(new["seq"], int) and new["created_at"], new
        first = new["seq"]
        status, again, _ = await in_thread("POST", path + "/message", message)
        assert status in (200, 201), (status, again)
        same("the same message again", again["message"]["id"], "python-1")

        await in_thread("POST", path + "/event", {"event": {"type": "typing.start"}}, user="bob")
        typing = await event(ann, "typing.start")
        same("who types", typing["user"]["id"], "bob")
        assert "seq" not in typing, "ephemeral events have no seq"
        await in_thread("POST", "/messages/python-1/reaction", {"reaction": {"type": "like"}}, user="bob")
        reaction = await event(ann, "reaction.new")
        same("gapless, and the repeat made no event", reaction["seq"], first + 1)
        status, page, _ = await in_thread("POST", path + "/query", {"state": True, "messages": {"limit": 10}})
        same("messages in the page", [m["id"] for m in page["messages"]], ["python-1"])
        status, missed, _ = await in_thread("POST", "/sync", {"channel_cids": ["messaging:python"], "last_sync_at": "2000-01-01T00:00:00Z", "last_seq": {"messaging:python": first - 1}})
        assert status in (200, 201), (status, missed)
        same("missed", [e["seq"] for e in missed["events"] if e.get("cid") == "messaging:python" and "seq" in e], [first, first + 1])

        await bob.send(json.dumps([{"type": "health.check", "client_id": "bob"}]))
        await event(bob, "health.check")
        await in_thread("POST", path + "/stop-watching", {}, user="bob", connection_id=bobs)
        await in_thread("POST", path + "/message", {"message": {"text": "bob is gone"}})
        await event(ann, "message.new")
        await bob.send(json.dumps([{"type": "health.check", "client_id": "bob"}]))
        same("nothing reaches who stopped watching", json.loads(await asyncio.wait_for(bob.recv(), DEADLINE))["type"], "health.check")


async def crowd():
    """A busy channel: whoever has agreed on compression shares its stream, from the beginning, late, or again."""
    path = "/channels/livestream/crowd"
    sockets = []

    async def join(n, **how):
        socket = await connect(f"fan-{n}", **how)
        mine = (await event(socket, "health.check"))["connection_id"]
        _, answer, _ = await in_thread("POST", path + "/query", {"watch": True}, user=f"fan-{n}", connection_id=mine)
        sockets.append((socket, answer["seq"] + 1))
        return socket

    async def send(first, last):
        for n in range(first, last + 1):
            await in_thread("POST", path + "/message", {"message": {"text": f"goal number {n}, and what a goal it was"}})

    for n in range(6):
        socket = await join(n)
        same("extensions", [extension.name for extension in socket.extensions], ["permessage-deflate"])
    same("no extensions", (await join(6, compression=None)).extensions, [])
    await send(1, 20)
    await asyncio.gather(*(join(n) for n in range(7, 12)))
    await send(21, 60)
    for socket, first in sockets:
        for n in range(first, 61):
            new = await event(socket, "message.new")
            same("seq", new["seq"], n)
            same("text", new["message"]["text"], f"goal number {n}, and what a goal it was")
        await socket.close()


async def refused(what, codes, **how):
    """A connection that is refused: connection.error, then close 1000."""
    async with connect("eve", **how) as socket:
        got = json.loads(await asyncio.wait_for(socket.recv(), DEADLINE))
        same(f"{what}: first event", got["type"], "connection.error")
        assert got["error"]["code"] in codes, f"{what}: {got}"
        assert got["error"]["message"] and got["error"]["StatusCode"] >= 400, got
        try:
            await asyncio.wait_for(socket.recv(), DEADLINE)
            raise AssertionError(f"{what}: something came after connection.error")
        except websockets.ConnectionClosed:
            same(f"{what}: close code, which means don't retry", socket.close_code, 1000)


async def wrong_tokens():
    await refused("signed with another secret", {43}, token=jwt({"user_id": "eve"}, b"another"))
    await refused("another's token", {5, 43}, token=jwt({"user_id": "ann"}))
    await refused("expired", {40}, token=jwt({"user_id": "eve", "exp": 1_000_000}))
    await refused("not yet valid", {41}, token=jwt({"user_id": "eve", "iat": 99_999_999_999}))
    await refused("no token", {5}, token="")
    await refused("nonsense", {5, 43}, token="not.a.token")
    await refused("algorithm none", {43, 5}, token=jwt({"user_id": "eve"}, alg="none"))
    await refused("another's key", {2, 5}, key="no-such-key")
    for what, token in (("bad signature", jwt({"user_id": "ann"}, b"another")), ("no token", ""), ("nonsense", "x")):
        status, answer, _ = call("POST", "/channels/messaging/python/message", {"message": {"text": "x"}}, token=token)
        same(f"{what}: status", status, 401)
        assert answer["code"] in (5, 43), answer


def error(what, got, status, code):
    same(f"{what}: status", got[0], status)
    same(f"{what}: code", got[1]["code"], code)
    same(f"{what}: StatusCode", got[1]["StatusCode"], status)
    assert got[1]["message"], got


def wrong_calls():
    path = "/channels/messaging/python"
    error("malformed JSON", call("POST", path + "/message", raw=b'{"message": {"text": '), 400, 4)
    error("not UTF-8", call("POST", path + "/message", raw=b'{"message": {"text": "\xff\xfe"}}'), 400, 4)
    error("no object", call("POST", path + "/message", raw=b"[1, 2]"), 400, 4)
    error("no message", call("POST", path + "/message", {}), 400, 4)
    error("a number for a text", call("POST", path + "/message", {"message": {"text": 7}}), 400, 4)
    error("unknown channel", call("POST", "/channels/messaging/nowhere/message", {"message": {"text": "x"}}), 404, 16)
    error("unknown message", call("GET", "/messages/nowhere"), 404, 16)
    error("unknown endpoint", call("GET", "/no/such/thing"), 404, 16)
    error("oversize text", call("POST", path + "/message", {"message": {"text": "x" * 100_000}}), 413, 22)
    status, answer, _ = call("POST", path + "/query", {"watch": True}, connection_id="nobodys")
    assert status >= 400 and answer["code"] in (4, 46), (status, answer)
    try:
        same("oversize body", call("POST", path + "/message", raw=b" " * 20_000_000)[0], 413)
    except (urllib.error.URLError, ConnectionError):
        pass  # A server may hang up on what it won't read.


async def wrong_frames():
    for what, frame in (
        ("binary", b"\x00\x01\x02"),
        ("malformed JSON", "[{"),
        ("no array", '"x"'),
        ("an unknown event", '[{"type": "no.such.event"}]'),
        ("oversize", "x" * 5_000_000),
    ):
        async with connect("ann") as socket:
            await event(socket, "health.check")
            try:
                await socket.send(frame)
                await socket.send(json.dumps([{"type": "health.check"}]))
                await event(socket, "health.check")
            except websockets.ConnectionClosed:
                code = socket.close_code
                assert code is not None and code != 1000, f"{what}: closed with {code}, which means don't retry"
    # Whatever came before, the server still serves.
    await conversation_is_possible()


async def conversation_is_possible():
    async with connect("ann") as socket:
        await event(socket, "health.check")


async def main():
    await conversation()
    await crowd()
    await wrong_tokens()
    await asyncio.get_running_loop().run_in_executor(None, wrong_calls)
    await wrong_frames()
    print("all fine")


asyncio.run(main())
