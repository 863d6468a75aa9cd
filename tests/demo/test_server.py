"""The server of the demo: results, thresholds, and what people and attackers send."""

import http.client
import io
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskformer_jax.data.images import decode_image

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from demo.conftest import Server
from demo.serve_stub import CATEGORIES, LIMITS

CLIENTS = 100


def encode(height: int, width: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def empty_png(height: int, width: int) -> bytes:
    """A PNG of so many pixels in a few bytes, nearly all of them missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    pixels = zlib.compress(bytes(1000))
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def call(
    server: Server,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    kind = response.getheader("content-type", "")
    return response.status, json.loads(text) if "json" in kind else text.decode()


def ids_of(view: Any) -> np.ndarray:
    from base64 import b64decode

    rgb = decode_image(b64decode(view["map"].partition(",")[2]), name="map").astype(int)
    return rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]


def test_results_of_an_image(server: Server) -> None:
    status, answer = call(server, "POST", "/segment", encode(40, 60))
    assert status == 200
    assert (answer["height"], answer["width"]) == (40, 60)
    assert list(answer["views"]) == ["panoptic", "semantic", "instances"]
    panoptic = answer["views"]["panoptic"]
    expected = np.repeat([[1] * 30 + [2] * 30], 40, axis=0)
    np.testing.assert_array_equal(ids_of(panoptic), expected)
    assert [(one["id"], one["name"], one["score"]) for one in panoptic["segments"]] == [
        (1, "cat", 0.9),
        (2, CATEGORIES[1].name, 0.6),
    ]
    assert [record["category_id"] for record in panoptic["records"]] == [17, 187]
    np.testing.assert_array_equal(ids_of(answer["views"]["semantic"]), expected)
    assert answer["views"]["instances"]["records"][0]["score"] == 0.7


def test_thresholds_are_changed_afterwards(server: Server) -> None:
    key = call(server, "POST", "/segment", encode(40, 60))[1]["key"]
    _, answer = call(server, "GET", f"/segment/{key}?object_mask=0.8&score=0.75")
    assert [one["name"] for one in answer["views"]["panoptic"]["segments"]] == ["cat"]
    assert answer["views"]["instances"]["segments"] == []
    for query in ("object_mask=2", "overlap=x", "score=nan"):
        status, answer = call(server, "GET", f"/segment/{key}?{query}")
        assert (status, query.partition("=")[0] in answer["error"]) == (400, True)


def test_only_the_latest_images_are_kept(server: Server) -> None:
    keys = [call(server, "POST", "/segment", encode(8, 8))[1]["key"] for _ in range(4)]
    assert [call(server, "GET", f"/segment/{key}")[0] for key in keys] == [404, 200, 200, 200]


def test_large_images_are_shrunk(server: Server) -> None:
    _, answer = call(server, "POST", "/segment", encode(300, 1200, "JPEG"))
    assert (answer["height"], answer["width"]) == (150, 600)
    assert ids_of(answer["views"]["panoptic"]).shape == (150, 600)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "empty"),
        (b"PK\x03\x04" + zlib.compress(bytes(10**7)), 400, "unknown image format"),
        (encode(60, 80)[:3000], 400, "damaged"),
        (empty_png(15000, 20000), 413, "too many megapixels"),
        (empty_png(6000, 6000), 413, "36 megapixels"),
        (empty_png(4000, 5000), 400, "damaged"),  # within the limits, but most of it is missing
        (bytes(int(LIMITS.megabytes * 1e6) + 1), 413, "more than 12 MB"),
    ],
    ids=[
        "nothing",
        "archive",
        "truncated",
        "300-megapixels",
        "36-megapixels",
        "no-pixels",
        "too-many-bytes",
    ],
)
def test_bad_uploads_are_explained(server: Server, body: bytes, status: int, message: str) -> None:
    found, answer = call(server, "POST", "/segment", body)
    assert found == status
    assert message in answer["error"]
    assert call(server, "POST", "/segment", encode(8, 8))[0] == 200  # it goes on
    assert server.peak_memory_mb < 600
    assert not list(server.folder.iterdir())


def test_body_without_a_length_is_cut_off(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    part = bytes(10**6)
    connection.putrequest("POST", "/segment")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    sent = 0
    try:
        for _ in range(200):
            connection.send(b"f4240\r\n" + part + b"\r\n")
            sent += 1
    except OSError:
        pass  # the server has hung up
    else:
        connection.send(b"0\r\n\r\n")
    assert server.peak_memory_mb < 600
    assert call(server, "POST", "/segment", encode(8, 8))[0] == 200


def test_many_at_once(server: Server) -> None:
    # Random pixels cannot be compressed: 9 MB each, 900 MB if all were taken at once.
    body = encode(1500, 2000)
    assert len(body) > 8e6
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(
            pool.map(lambda _: call(server, "POST", "/segment", body)[0], range(CLIENTS))
        )
    assert set(answers) <= {200, 503}
    assert answers.count(200) > CLIENTS / 2
    assert server.peak_memory_mb < 700
    assert not list(server.folder.iterdir())


def test_paths_and_foreign_names_reach_nothing(server: Server) -> None:
    for path in ("/segment/..%2f..%2fetc%2fpasswd", "/../../etc/passwd", "/etc/passwd"):
        assert call(server, "GET", path)[0] == 404
    status, _ = call(server, "GET", "/", headers={"Host": "evil.example"})
    assert status == 400
    assert "halves" in call(server, "GET", "/")[1]
