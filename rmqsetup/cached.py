"""What a user's cache keeps of binaries: trees by their digests, made under a lock, and notes of which run together.

How they are come by is told in `unpacked` and `generic`; how they travel in `cargo`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rmqsetup import parcel
from rmqsetup.errors import ConflictError, RmqsetupError
from rmqsetup.host import MARK, Clear, Command, Host, Unpack
from rmqsetup.releases import Proven
from rmqsetup.version import Version, Wanted

LOCK_SECONDS = 900.0
"""How long another process is waited for that makes what we need: as long as a download may take."""

PAIRS = "pair-"
"""What the names of notes begin with that do not depend on what apt has to say."""

_ANY = Wanted()


@dataclass(frozen=True, slots=True)
class Binaries:
    """Unpacked binaries: `home` is RABBITMQ_HOME, with `sbin` and `plugins`; `erlang` is Erlang's root, with `bin`.

    `made_of` are the archives and parcels of those that were unpacked here: of RabbitMQ, and of Erlang unless that is
    one of the machine's own.
    """

    home: str
    erlang: str
    rabbitmq: str
    erlang_version: str
    made_of: tuple[Proven, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the Erlang was unpacked here as well, and is not the machine's own."""
        return len(self.made_of) > 1

    @property
    def is_of_packages(self) -> bool:
        """Whether this RabbitMQ was unpacked from packages, and not from an archive of upstream's."""
        return self.made_of[0].path.endswith(parcel.SUFFIX)


def tree(proven: Proven, *, host: Host, cache: Path) -> str:
    """Unpack what was proven unless its tree is there, and sweep what killed ones have left; who calls has the lock."""
    trees = cache / "trees"
    place = f"{trees}/{proven.tree}-{proven.digest[:12]}"
    if _is_marked(place, proven.digest, host):
        return place
    for left in (each for each in host.names(str(trees)) if each.startswith(".") and each.endswith(".rmqsetup")):
        host.clear(Clear("", f"{trees}/{left}"))
    host.clear(Clear("", place))
    through = f"{trees}/.{proven.tree}.rmqsetup"
    finish = ("./Install", "-cross", "-minimal", place) if proven.installs else ()
    host.unpack(Unpack(place, proven.path, proven.digest, proven.top, through, finish=finish))
    return place


def noted(note: Path, host: Host) -> Binaries | None:
    """Return the binaries that were noted, as far as they are all there."""
    try:
        said = json.loads(note.read_text())
        found = Binaries(**{**said, "made_of": tuple(Proven(**each) for each in said["made_of"])})
    except (OSError, ValueError, TypeError, KeyError):  # none, cut, or of another version: it is written again
        return None
    places = (found.home, found.erlang)[: len(found.made_of)]
    complete = all(host.read(f"{place}/{MARK}") for place in places)
    return found if complete and (found.is_whole or _otp(found.erlang, host) == found.erlang_version) else None


def keep(place: Path, data: bytes) -> None:
    """Write a file in one moment; only who holds the lock of its folder does."""
    new = place.with_name(f".{place.name}.new")
    new.write_bytes(data)
    new.replace(place)


def note(place: Path, binaries: Binaries) -> Binaries:
    """Note binaries for the next who asks, and return them."""
    keep(place, json.dumps(asdict(binaries)).encode())
    return binaries


def note_pair(cache: Path, host: Host, binaries: Binaries) -> Binaries:
    """Note binaries that are good on machines like this one, whatever apt has to say."""
    digests = repr([(each.digest, binaries.erlang) for each in binaries.made_of]).encode()
    name = f"{PAIRS}{machine(host)[:8]}-{hashlib.sha256(digests).hexdigest()[:12]}.json"
    return note(cache / name, binaries)


def newest(
    cache: Path, host: Host, wanted: Wanted = _ANY, *, but: Callable[[Binaries], bool] = lambda _: False
) -> Binaries | None:
    """Return the newest pair in the cache that grants a wish and runs on this machine, but for those that `but` names.

    Nobody is asked over the network.
    """
    notes = sorted(cache.glob(f"{PAIRS}{machine(host)[:8]}-*.json")) if cache.is_dir() else []
    found = [pair for each in notes if (pair := noted(each, host)) and wanted.admits(pair.rabbitmq) and not but(pair)]
    return max(found, key=lambda pair: (Version(pair.rabbitmq), Version(pair.erlang_version)), default=None)


def machine(host: Host) -> str:
    """Return a word for machines on which the same binaries run: their release and architecture."""
    release = host.read("/etc/os-release")
    architecture = host.run(Command(("uname", "-m"), timeout=10)).stdout
    return hashlib.sha256(f"{release.text if release else ''}\n{architecture}".encode()).hexdigest()


@contextmanager
def writing(cache: Path) -> Iterator[None]:
    """Say what it means where a file below the cache cannot be written."""
    try:
        yield
    except OSError as error:
        raise RmqsetupError(
            f"cannot write below {cache}",
            cause=str(error.strerror or error),
            hint="free some space (df -h), or name another folder in XDG_CACHE_HOME",
        ) from error


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Be the only one who writes below a folder; who is killed lets go. Raises `ConflictError`."""
    cache.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_SECONDS
    with (cache / "lock").open("a") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ConflictError(
                        f"another process has been unpacking below {cache} for too long",
                        hint=f"end it (fuser {cache}/lock shows it), then run the same command again",
                    ) from None
            time.sleep(0.1)
        yield


def _is_marked(place: str, digest: str, host: Host) -> bool:
    mark = host.read(f"{place}/{MARK}")
    return mark is not None and mark.text.strip() == digest


def _otp(erlang: str, host: Host) -> str:
    """Return the version that an Erlang has written down, empty where it has not."""
    for name in host.names(f"{erlang}/releases"):
        if name.isdigit() and (found := host.read(f"{erlang}/releases/{name}/OTP_VERSION")):
            return found.text.strip().rstrip("*")
    return ""
