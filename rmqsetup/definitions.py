"""A definitions file (users, virtual hosts, permissions) on this machine, and whether a new node can do with it.

How it reaches the node belongs to `wishes`.
"""

from __future__ import annotations

import json
from pathlib import Path


def mistakes(path: str) -> tuple[str, ...]:
    """Say what stands against importing a definitions file when a node boots, one sentence each.

    Such an import keeps a blank node from making its user `guest` and its virtual host `/` (rabbitmq.com,
    "Schema definition export and import"): the file must bring a user that may use a virtual host, or nobody can
    use the broker. Plain passwords are refused, because the file stays on the machine and is read at every boot.
    """
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        return (f"{path} cannot be read: {error.strerror}",)
    except UnicodeDecodeError as error:
        return (f"{path} is not UTF-8 text: byte {error.start}",)
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        return (f"{path} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}",)
    if not isinstance(data, dict):
        return (f"{path} is not a JSON object with users, vhosts and permissions",)
    lacking = tuple(f"{path}: {name} is not a list of objects" for name in _PARTS if not _is_list(data.get(name, [])))
    return lacking or _judge(path, *(tuple(data.get(name, ())) for name in _PARTS))


_PARTS = ("users", "vhosts", "permissions")
_Part = tuple[dict[str, object], ...]


def _is_list(part: object) -> bool:
    return isinstance(part, list) and all(isinstance(item, dict) for item in part)


def _judge(path: str, users: _Part, vhosts: _Part, permissions: _Part) -> tuple[str, ...]:
    found = list[str]()
    plain = [str(user.get("name")) for user in users if user.get("password")]
    if plain:
        found.append(
            f"{path} has plain passwords ({', '.join(plain)}): give password_hash instead of password, as "
            "`rabbitmqctl export_definitions` writes it and docs/recipes.md shows how to make it"
        )
    why = "with definitions a new node makes neither the user guest nor the virtual host /"
    found += [f"{path} has no {name}: {why}" for name, part in (("vhosts", vhosts), ("users", users)) if not part]
    if users and vhosts and not _somebody(users, vhosts, permissions):
        found.append(f"{path} gives no user of its own permissions in a virtual host of its own: {why}")
    return tuple(found)


def _somebody(users: _Part, vhosts: _Part, permissions: _Part) -> bool:
    """Tell whether anybody may do anything anywhere."""
    names, places = [user.get("name") for user in users], [vhost.get("name") for vhost in vhosts]
    return any(each.get("user") in names and each.get("vhost") in places for each in permissions)
