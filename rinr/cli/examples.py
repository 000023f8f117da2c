"""An example or two of every command, as `--help` shows them at its end; a test parses each."""

from rich.markup import escape

EXAMPLES: dict[str, tuple[str, ...]] = {
    "encode": (
        "rinr encode sample/device-1 --out payloads",
        "rinr encode frames --store store --preset small",
        "rinr encode frames --out payloads --object-db 33 --max-bytes 4000",
    ),
    "decode": ("rinr decode payloads --out pictures", "rinr decode --store store --out pictures"),
    "inspect": ("rinr inspect payloads", "rinr inspect --store store --image 5f0c1a --json"),
    "info": ("rinr info --store store",),
    "mosaic": ("rinr mosaic sample/device-1 --out mosaic.png",),
    "bench": ("rinr bench sample/device-1", "rinr bench frames --preset small --preset fine --curves curves"),
    "plan": (
        "rinr plan frames --devices 10 --radio 2MB/s --plot plan.png",
        "rinr plan frames --devices 40 --receivers 5 --loss 1% --upload avif:50 --json",
    ),
    "sample": ("rinr sample", "rinr sample pictures"),
    "demo": ("rinr demo", "rinr demo --data frames --devices 3 --frames 24 --out trial --keep"),
    "ui": ("rinr ui --out demo",),
    "stop": ("rinr stop --out demo",),
    "doctor": ("rinr doctor", "rinr doctor --fleet fleet.toml --store store --json"),
    "up": (
        "rinr up --fleet fleet.toml --store store --devices all",
        "rinr up --every 5",
        "rinr up --status",
    ),
    "down": ("rinr down",),
    "clip preview": ("rinr clip preview sequence --strip strip.png",),
    "clip encode": ("rinr clip encode sequence --out payloads --alone",),
    "clip play": ("rinr clip play payloads --originals sequence",),
    "store verify": ("rinr store verify --store store",),
    "store repair": ("rinr store repair --store store --dry-run",),
    "store stats": ("rinr store stats --store store --png store.png",),
    "store compact": ("rinr store compact --store store",),
    "store vacuum": ("rinr store vacuum --store store --keep-hours 168",),
    "fleet check": ("rinr fleet check fleet.toml", "rinr fleet check fleet.toml --device camera-1 --json"),
    "fleet init": (
        "rinr fleet init",
        "rinr fleet init fleet.toml --name camera-1 --storage /srv/camera-1 --inbox /srv/inbox-1",
    ),
    "quarantine list": ("rinr quarantine list --store store",),
    "quarantine show": ("rinr quarantine show 5f0c1a --store store",),
    "quarantine retry": ("rinr quarantine retry 5f0c1a --store store", "rinr quarantine retry --all --store store"),
    "quarantine drop": ("rinr quarantine drop 5f0c1a --store store",),
    "device run": (
        "rinr device run camera-1 --once",
        "rinr device run camera-1 --fleet /etc/rinr/fleet.toml --every 60",
    ),
    "device status": ("rinr device status camera-1 --fleet fleet.toml",),
    "device standing": ("rinr device standing --fleet fleet.toml --store store",),
    "device shrink": ("rinr device shrink captures uploads --codec webp --quality 60",),
    "device reset": ("rinr device reset camera-1 --fleet fleet.toml --store store",),
    "keys new": ("rinr keys new --keys keys", "rinr keys new --keys /var/lib/rinr/camera-1/keys --label camera-1"),
    "keys list": ("rinr keys list --keys keys",),
    "keys rotate": ("rinr keys rotate --keys keys",),
    "keys trust": ("rinr keys trust MCowBQYDK2VwAyEAGb9E... --keys /var/lib/rinr/camera-1/keys --label fog",),
    "keys revoke": ("rinr keys revoke 0123456789abcdef --keys keys",),
}
"""Command lines by the command's words after ``rinr``."""


def epilog(command: str) -> str | None:
    """What stands below a command's help; ``None`` where there is no example of it."""
    lines = EXAMPLES.get(command)
    if not lines:
        return None
    shown = "\n\n".join(f"  {escape(line)}" for line in lines)
    return f"[bold]For example[/]\n\n{shown}"
