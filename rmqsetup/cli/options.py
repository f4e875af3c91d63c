"""What can be typed: the commands and their options. The one definition of all of it.

Two readers follow it: `reading` for a line without mistakes, `app` (typer) for help, mistakes and completion. What a
command and an option are, and what was typed, is in `words`.
"""

from __future__ import annotations

from rmqsetup.cli.words import Command, Option

RECIPES = "recipes"
"""In `offered`: the names of the shipped recipes, which are looked up when they are asked for."""

OUTPUT = Option(
    "output",
    ("--output", "-o"),
    "How to answer: text for people, json for programs.",
    "text|json",
    choices=("text", "json"),
)
QUIET = Option("quiet", ("--quiet", "-q"), "Say only what went wrong, and the result.")
VERBOSE = Option("verbose", ("--verbose", "-v"), "Say everything: each line of the package manager, each step.")
EXPLAIN = Option("explain", ("--explain",), "Say why: the reasons of each choice.")
YES = Option("yes", ("--yes", "-y"), "Do not ask, go ahead.")

LEVEL = Option(
    "level",
    ("--level",),
    "How far to verify: 0 packages, 1 service, 2 node, 3 listeners, 4 login, 5 messages.",
    "N",
    int,
    choices=("0", "1", "2", "3", "4", "5"),
)
WAIT = Option(
    "wait", ("--wait",), "How long to wait for a service or node that is still starting: 60 if left out.",
    "SECONDS", float,
)  # fmt: skip

BROKER = Option(
    "broker",
    ("--broker",),
    "Look at a throwaway broker instead, by its ID as ps names it; without one at the one that this command runs "
    "beside, or at the only one that is up.",
    "ID",
    bare="only",
)

JSON = Option("as_json", ("--json",), "The same as --output json.")

SOURCE = Option(
    "source",
    ("--source",),
    "Where RabbitMQ comes from: team (Team RabbitMQ's repository), distro (the distribution's own), brew (Homebrew), "
    "mirror=URL, archive (the generic-unix archive), user (as --user), or auto: team where it serves this machine and "
    "answers, else distro; on a Mac, brew.",
    "WHERE",
    offered=("auto", "team", "distro", "brew", "mirror=", "archive", "user"),
)
KEY = Option("key", ("--key",), "The key, or keys, that sign a mirror or an archive of your own.", "FILE|URL")
FINGERPRINT = Option(
    "fingerprint", ("--fingerprint",), "The 40 hex digits of that key; of several, separated by commas.", "FPR"
)

OPEN_FILES = Option("open_files", ("--open-files",), "How many files and sockets the broker may have open.", "N", int)

BELOW = (
    Option(
        "user",
        ("--user",),
        "Unpack the distribution's own packages for yourself instead of installing them: Debian and Ubuntu, no root "
        "needed.",
    ),
    Option(
        "prefix",
        ("--prefix",),
        "The folder that holds all of a broker from an archive, or with --user; that has ~/.local/share/rabbitmq if "
        "left out. The broker belongs to who installs it; no root needed.",
        "DIR",
    ),
    Option(
        "archive",
        ("--archive",),
        "The generic-unix archive, with its .asc beside it; left out, the published one.",
        "FILE|URL",
    ),
    Option(
        "erlang_archive",
        ("--erlang-archive",),
        "An Erlang built for this machine; left out, the one that is here, the distribution's, or a published one.",
        "FILE|URL",
    ),
    Option("erlang_digest", ("--erlang-digest",), "The sha256 of that archive.", "SHA256"),
    Option(
        "service",
        ("--service",),
        "What looks after such a broker: none, or the systemd of its user, or on a Mac launchd.",
        "none|systemd|launchd",
        choices=("none", "systemd", "launchd"),
    ),
)

ORIGIN = (
    Option(
        "source",
        ("--source",),
        "Where its programs come from: distro (the distribution's packages, unpacked), archive (the signed "
        "generic-unix archive), or auto: of this machine, else of the cache, else of either.",
        "WHERE",
        offered=("auto", "distro", "archive"),
    ),
    *(each for each in BELOW if each.field in ("archive", "erlang_archive", "erlang_digest")),
    KEY,
    FINGERPRINT,
)

RECIPE = Option(
    "recipe",
    ("--recipe", "-r"),
    "A broker described in TOML: a recipe that comes with rmqsetup, a file, or - for standard input. "
    "Options win over it.",
    "NAME|FILE|-",
    offered=(RECIPES,),
)
RABBITMQ = Option("rabbitmq", ("--rabbitmq",), "A series (4.2) or a release (4.2.9); left out, the newest.", "VERSION")
CONFIGURATION = (
    Option("plugins", ("--plugins",), "Enable exactly these plugins, and what they need.", "A,B"),
    Option("settings", ("--set",), "A line of rabbitmq.conf. Can be said several times.", "KEY=VALUE", many=True),
    Option("definitions", ("--definitions",), "Users, virtual hosts, queues … to import at boot.", "FILE"),
)

REQUEST = (
    RECIPE,
    SOURCE,
    RABBITMQ,
    Option("erlang", ("--erlang",), "A series (27, 27.3) or a release; left out, the best for RabbitMQ.", "VERSION"),
    *CONFIGURATION,
    OPEN_FILES,
    KEY,
    FINGERPRINT,
    *BELOW,
    Option("hold", ("--no-hold",), "Let the versions change when the machine is upgraded.", value=False),
    Option("start", ("--no-start",), "Install and configure, and do not start the broker.", value=False),
    Option("enable", ("--no-enable",), "Do not start the broker at boot.", value=False),
    Option(
        "recommends",
        ("--no-recommends",),
        "Leave recommended packages out. Where logrotate is one of them, the logs grow for ever without it.",
        value=False,
    ),
    Option(
        "lock_timeout",
        ("--lock-timeout",),
        "How long to wait for another user of the package manager: 120 if left out.",
        "SECONDS",
        int,
    ),
)

TALK = (OUTPUT, QUIET, VERBOSE)
CACHE = ("list", "clear", "export", "import")

COMMANDS: tuple[Command, ...] = (
    Command(
        "install",
        (
            *REQUEST,
            LEVEL,
            Option("verify", ("--no-verify",), "Do not verify afterwards.", value=False),
            WAIT,
            YES,
            EXPLAIN,
            *TALK,
        ),
        changes=True,
    ),
    Command(
        "plan",
        (
            *REQUEST,
            Option(
                "form",
                ("--as",),
                "Write the plan down as a shell script, a Dockerfile, cloud-init user data, or JSON.",
                "sh|dockerfile|cloud-init|json",
                choices=("sh", "dockerfile", "cloud-init", "json"),
            ),
            EXPLAIN,
            *TALK,
        ),
    ),
    Command(
        "start",
        (
            Option(
                "foreground",
                ("--foreground",),
                "Run the node as this very command, as a container wants it: SIGTERM or ctrl-C stops it in order.",
            ),
            OPEN_FILES,
            WAIT,
            *TALK,
        ),
        changes=True,
    ),
    Command(
        "run",
        (
            RECIPE,
            RABBITMQ,
            *ORIGIN,
            Option("bundle", ("--bundle",), "Take its programs from a file of rmqsetup cache export.", "FILE"),
            *CONFIGURATION,
            Option("nodes", ("--nodes",), "How many nodes, in a cluster: 1 if left out.", "N", int),
            Option("tls", ("--tls",), "Listen with TLS as well, with certificates of its own (needs openssl)."),
            Option("port", ("--port",), "The port of AMQP; left out, one that is free.", "N", int),
            Option("ports", ("--ports",), "Choose all ports among these: 20000-29999.", "FROM-TO"),
            Option("stock", ("--stock",), "Start it by RabbitMQ's own script, which takes longer."),
            WAIT,
            Option("keep", ("--keep",), "Keep its folder, with data and logs, and say where."),
            Option("detach", ("--detach",), "Return when it is up, and let it stay until rmqsetup stop."),
            Option("env", ("--env",), 'Print the variables for a shell: eval "$(rmqsetup run --detach --env)".'),
            Option("github", ("--github",), "Write the variables to GITHUB_ENV and GITHUB_OUTPUT."),
            JSON,
            Option("sweep", ("--sweep",), "Only remove what brokers of killed commands have left."),
            *TALK,
            Option("program", (), "What to run beside it, after --.", "COMMAND", many=True, rest=True),
        ),
    ),
    Command("ps", (JSON, *TALK)),
    Command(
        "stop",
        (
            Option("names", (), "Which, as ps names them; the beginning of a name is enough.", "ID", many=True),
            Option("every", ("--all",), "All of this user."),
            JSON,
            *TALK,
        ),
    ),
    Command(
        "cache",
        (
            Option("what", (), "list, clear, export, import; list if left out.", "ACTION", choices=CACHE),
            Option("names", (), "The bundle to export to or to import.", "FILE", many=True),
            RABBITMQ,
            *ORIGIN,
            Option("digest", ("--digest",), "The sha256 that a bundle to import has to have.", "SHA256"),
            JSON,
            *TALK,
        ),
    ),
    Command("verify", (LEVEL, WAIT, BROKER, *TALK)),
    Command(
        "status",
        (
            Option("watch", ("--watch",), "Look again and again, also at messages, queues and clients: q ends it."),
            Option("interval", ("--interval",), "How long from look to look: 2 if left out.", "SECONDS", float),
            Option("looks", ("--count",), "End after so many looks.", "N", int),
            Option(
                "api",
                ("--api",),
                "Watch over the HTTP API at this address, without root, logged in as RABBITMQ_USER with "
                "RABBITMQ_PASSWORD, or as guest.",
                "URL",
            ),
            BROKER,
            *TALK,
        ),
    ),
    Command(
        "doctor",
        (
            Option("about", (), "explain ID tells what a finding means.", "WORD", many=True),
            Option("only", ("--only",), "Ask only these checks, by ids and groups.", "ID,GROUP"),
            Option("skip", ("--skip",), "Leave these checks out.", "ID,GROUP"),
            Option("listed", ("--list",), "List the checks, by group."),
            Option(
                "fix",
                ("--fix",),
                "Mend what was found: safe for what interrupts nobody and takes nothing away, which is meant where "
                "nothing is said; all; or one finding by its id. Shown and asked first; undo takes it back.",
                "safe|all|ID",
                bare="safe",
            ),
            Option(
                "form",
                ("--as",),
                "Write the findings for a CI: JUnit XML, or annotations of GitHub Actions.",
                "junit|github",
                choices=("junit", "github"),
            ),
            Option(
                "bundle",
                ("--bundle",),
                "Collect findings, configuration and logs in an archive for somebody who helps, secrets removed.",
                "FILE",
            ),
            YES,
            *TALK,
        ),
    ),
    Command("versions", (SOURCE, KEY, FINGERPRINT, EXPLAIN, *TALK)),
    Command("facts", TALK),
    Command("history", TALK),
    Command(
        "undo",
        (Option("receipt", (), "What to take back, as history names it; left out, the last.", "RECEIPT"), YES, *TALK),
        changes=True,
    ),
    Command(
        "uninstall",
        (Option("purge", ("--purge",), "Delete the broker's data and logs as well."), YES, *TALK),
        changes=True,
    ),
)


def command(name: str) -> Command | None:
    """Return the command of that name, or None."""
    return next((each for each in COMMANDS if each.name == name), None)


def completed(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return a line with the values of options that were said without one: last, or before another option."""
    found = command(argv[0]) if argv else None
    bare = {flag: each.bare for each in (found.options if found else ()) if each.bare for flag in each.flags}
    pairs = zip(argv, (*argv[1:], "-"), strict=False)
    return tuple(f"{word}={bare[word]}" if word in bare and after.startswith("-") else word for word, after in pairs)


def module(name: str) -> str:
    """Return the full name of the module that carries out a command."""
    return f"rmqsetup.cli.{name}"
