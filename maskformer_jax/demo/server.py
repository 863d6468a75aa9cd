"""The web application of the demo (Starlette).

`POST /segment` takes the bytes of an image and answers with a key and the results; `GET
/segment/KEY?object_mask=&overlap=&score=` gives them for other thresholds. Images are in memory
alone, and only as long as they are among the latest.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from maskformer_jax.demo.page import demo_page
from maskformer_jax.demo.segmented import SegmentedImages, UnknownImageError
from maskformer_jax.demo.uploads import Limits, TooLargeError, decode_upload
from maskformer_jax.errors import UserError
from maskformer_jax.image_files import encode_image
from maskformer_jax.pages.html import data_url

T = TypeVar("T")
READING = 4  # uploads that are in memory at a time; the others wait in their connections
THRESHOLDS = ("object_mask", "overlap", "score")


def make_app(
    images: SegmentedImages,
    *,
    title: str,
    defaults: dict[str, float],
    limits: Limits,
    hosts: list[str],
) -> Starlette:
    """Make the application.

    Args:
        images: segments them.
        title: of the page.
        defaults: of the thresholds `object_mask`, `overlap` and `score`, 0..1.
        limits: of uploads.
        hosts: names by which browsers may address the server; others are refused, which keeps
            pages of other sites from reaching it through a name of theirs.
    """
    page = demo_page(title, defaults=defaults, limits=limits)
    reading = asyncio.Semaphore(READING)
    # One image at a time: the network itself uses all cores.
    worker = ThreadPoolExecutor(1)

    async def work(function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(worker, function)

    async def index(_: Request) -> Response:
        return HTMLResponse(page)

    async def segment(request: Request) -> Response:
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > limits.most_bytes:
            raise _too_many_bytes(limits)
        thresholds = _read_thresholds(request, defaults)
        async with reading:
            data = await _read_body(request, limits)
            return JSONResponse(await work(lambda: _segment(images, data, thresholds, limits)))

    async def adjust(request: Request) -> Response:
        key, thresholds = request.path_params["key"], _read_thresholds(request, defaults)
        return JSONResponse({"views": await work(lambda: _views(images, key, thresholds))})

    return Starlette(
        routes=[
            Route("/", index),
            Route("/segment", segment, methods=["POST"]),
            Route("/segment/{key}", adjust),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)],
        exception_handlers={UserError: _explain},
    )


def _segment(
    images: SegmentedImages, data: bytes, thresholds: dict[str, float], limits: Limits
) -> dict[str, Any]:
    image = decode_upload(data, limits)
    key = images.add(image)
    height, width = image.shape[:2]
    return {
        "key": key,
        "height": height,
        "width": width,
        # As it was segmented: upright, and no larger than the limit.
        "image": data_url(encode_image(image, "jpg"), "image/jpeg"),
        "views": _views(images, key, thresholds),
    }


def _views(images: SegmentedImages, key: str, thresholds: dict[str, float]) -> dict[str, Any]:
    return images.views(
        key,
        object_mask_threshold=thresholds["object_mask"],
        overlap_threshold=thresholds["overlap"],
        score=thresholds["score"],
    )


async def _read_body(request: Request, limits: Limits) -> bytes:
    """The body, of which no more is read than is allowed."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > limits.most_bytes:
            raise _too_many_bytes(limits)
    if not data:
        raise UserError("the upload is empty; send the bytes of an image as the body")
    return bytes(data)


def _read_thresholds(request: Request, defaults: dict[str, float]) -> dict[str, float]:
    values = {}
    for name in THRESHOLDS:
        text = request.query_params.get(name)
        try:
            values[name] = defaults[name] if text is None else float(text)
        except ValueError as error:
            raise UserError(f"{name} is {text!r}, but should be a number in 0..1") from error
        if not 0 <= values[name] <= 1:
            raise UserError(f"{name} is {text}, but should be in 0..1")
    return values


def _too_many_bytes(limits: Limits) -> TooLargeError:
    return TooLargeError(f"the upload has more than {limits.megabytes:g} MB; shrink the image")


async def _explain(_: Request, error: Exception) -> Response:
    status = 400
    if isinstance(error, TooLargeError):
        status = 413
    elif isinstance(error, UnknownImageError):
        status = 404
    return JSONResponse({"error": str(error)}, status_code=status)
