"""Unpack zstd, by Python where it can (3.14) and else by libzstd, which rpm itself needs. Other packings need no help.

What is unpacked was held to a signed digest before; who does that is `index_files`.
"""

from __future__ import annotations

import ctypes
from importlib import import_module

LIBRARY = "libzstd.so.1"


class MissingError(Exception):
    """Neither Python nor the system can unpack zstd."""


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer, which are alike."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("at", ctypes.c_size_t))


def unpack(data: bytes, limit: int) -> bytes:
    """Return at most `limit` bytes of what is packed in `data`; raises `ValueError` for what is not zstd."""
    try:
        found: bytes = import_module("compression.zstd").decompress(data)
    except ModuleNotFoundError:
        return _by_library(data, limit)
    except Exception as error:
        raise ValueError(str(error)) from error
    return found[:limit]


def _by_library(data: bytes, limit: int) -> bytes:
    library = _library()
    stream = ctypes.c_void_p(library.ZSTD_createDStream())
    source = ctypes.create_string_buffer(data, len(data))
    size = int(library.ZSTD_DStreamOutSize())
    room = ctypes.create_string_buffer(size)
    given = _Buffer(ctypes.cast(source, ctypes.c_void_p), len(data), 0)
    taken = _Buffer(ctypes.cast(room, ctypes.c_void_p), size, 0)
    found = bytearray()
    try:
        # a room that was filled to its brim may not have been all
        while (given.at < given.size or taken.at == size) and len(found) < limit:
            taken.at = 0
            code = library.ZSTD_decompressStream(stream, ctypes.byref(taken), ctypes.byref(given))
            if library.ZSTD_isError(code):
                raise ValueError(library.ZSTD_getErrorName(code).decode())
            found += room.raw[: taken.at]
    finally:
        library.ZSTD_freeDStream(stream)
    return bytes(found[:limit])


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise MissingError(str(error)) from error
    library.ZSTD_createDStream.restype = ctypes.c_void_p
    library.ZSTD_decompressStream.restype = ctypes.c_size_t
    library.ZSTD_DStreamOutSize.restype = ctypes.c_size_t
    library.ZSTD_isError.argtypes = library.ZSTD_getErrorName.argtypes = (ctypes.c_size_t,)
    library.ZSTD_getErrorName.restype = ctypes.c_char_p
    return library
