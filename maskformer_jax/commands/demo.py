"""`demo`: a page on this machine on which images are segmented."""

import asyncio
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from maskformer_jax.commands.parser import CommandParser, read_checkpoint_config
from maskformer_jax.compile_cache import keep_programs
from maskformer_jax.errors import UserError

if TYPE_CHECKING:
    from maskformer_jax.pretrained import Loaded

_WAITING = 256  # connections
_WARM_SIZE = (480, 640, 3)  # of the blank image that compiles the first programs


def run(argv: Sequence[str]) -> None:
    """Parse the arguments, load the checkpoint and serve the page until Ctrl-C.

    Raises:
        UserError: the config or the checkpoint is wrong, the port is taken, or the extra `demo` is
            not installed.
    """
    parser = CommandParser(
        "demo",
        "Serve a page on which images are dropped, segmented and looked at. Only this machine "
        "reaches it unless --host says otherwise.",
        config="optional",
    )
    parser.add_checkpoint()
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where to listen; 0.0.0.0 lets other machines in (default: %(default)s)",
    )
    parser.add_argument(
        "--port", type=int, default=8000, help="0 for any that is free (default: %(default)s)"
    )
    parser.add_argument(
        "--max-megabytes", type=float, default=20.0, metavar="N", help="of an upload (20)"
    )
    parser.add_argument(
        "--max-megapixels", type=float, default=40.0, metavar="N", help="of an image (40)"
    )
    arguments, overrides = parser.read(argv)
    try:
        import uvicorn

        from maskformer_jax.demo.server import make_app
    except ImportError as error:
        raise UserError(
            f"the demo needs {error.name}: pip install 'maskformer-jax[demo]'"
        ) from error
    config = read_checkpoint_config(arguments.checkpoint, arguments.config, overrides)

    from maskformer_jax.demo.segmented import SegmentedImages
    from maskformer_jax.demo.uploads import Limits
    from maskformer_jax.pretrained import load_pretrained

    keep_programs(config.compile_cache)
    listener = _listen(arguments.host, arguments.port)
    loaded = load_pretrained(arguments.checkpoint, config=config)
    _warm(loaded)
    host, port = listener.getsockname()[:2]
    app = make_app(
        SegmentedImages(loaded),
        title=config.name or arguments.checkpoint.name,
        defaults={
            "object_mask": config.eval.object_mask_threshold,
            "overlap": config.eval.overlap_threshold,
            "score": 0.5,
        },
        limits=Limits(megabytes=arguments.max_megabytes, megapixels=arguments.max_megapixels),
        hosts=["127.0.0.1", "localhost", "[::1]"] if _is_loopback(host) else ["*"],
    )
    print(f"open http://{host}:{port}/ (Ctrl-C ends it)", flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", limit_concurrency=_WAITING))
    with listener:
        asyncio.run(server.serve(sockets=[listener]))


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before anything is loaded.

    Raises:
        UserError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_WAITING)
    except (OSError, OverflowError) as error:
        listener.close()
        raise UserError(f"cannot listen on {host}, port {port}: {error}; try --port=0") from error
    return listener


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"


def _warm(loaded: "Loaded") -> None:
    import numpy as np

    print("compiling (about a minute the first time)", flush=True)
    loaded.predict_adjustable(np.zeros(_WARM_SIZE, np.uint8))(0.5, 0.5)
