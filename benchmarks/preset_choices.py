"""Why the preset `fast` has the values it has: each beside its alternatives, over the same frames in the same run.

    python -m benchmarks.preset_choices [FOLDER ...] [--frames 1]

Prints mean bytes and PSNR of backgrounds and of objects, and the time as a ratio to the preset's own.
"""

import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from benchmarks.frames import arguments, find_folders, read
from rinr.encoder import encode
from rinr.metrics import mean_db
from rinr.networks.settings import SirenSettings
from rinr.networks.siren_coding import Shape
from rinr.presets import FAST, ObjectClass, Preset


def variants() -> Iterator[tuple[str, Preset]]:
    yield "fast", FAST
    background = FAST.background
    for first, hidden in ((15.0, 15.0), (30.0, 5.0), (45.0, 10.0)):
        changed = replace(background, first_omega=first, omega=hidden)
        yield f"background omegas {first:g}, {hidden:g} (30, 10)", replace(FAST, background=changed)
    yield "background rounded after the fit", replace(FAST, background=replace(background, price=0.0, bits=8))
    for factor in (0.5, 2.0):
        changed = replace(background, price=background.price * factor)
        yield f"background price x{factor:g}", replace(FAST, background=changed)
    yield "background of the whole frame (half)", replace(FAST, background_scale=1)
    constant = replace(background.schedule, decay=False)
    yield "constant learning rate (cosine)", replace(FAST, background=replace(background, schedule=constant))
    for width, layers in ((14, 4), (28, 4), (20, 6)):
        shape = Shape(width, layers)
        yield f"background {shape} (20x4)", replace(FAST, background=replace(background, shape=shape))
    for factor in (0.5, 2.0):
        yield f"objects' omegas x{factor:g}", _objects(lambda n, f=factor: _slower(n, f))
        yield f"objects' price x{factor:g}", _objects(lambda n, f=factor: replace(n, price=n.price * f))


def _slower(network: SirenSettings, factor: float) -> SirenSettings:
    return replace(network, omega=network.omega * factor, first_omega=(network.first_omega or 0) * factor)


def _objects(change) -> Preset:
    def changed(network: SirenSettings) -> SirenSettings:
        return change(network)

    return replace(FAST, objects=tuple(ObjectClass(c.max_area, changed(c.network)) for c in FAST.objects))


def main() -> None:
    options = arguments(__doc__ or "", frames=1)
    torch.set_num_threads(1)
    frames = [frame for folder in find_folders(options.folders) for frame, _ in read(folder, options.frames)]
    print(f"{len(frames)} frames\n\n| variant (preset's value) | background | objects | time |\n|---|---|---|---|")
    own = None
    for name, preset in variants():
        started = time.perf_counter()
        images = encode(frames, preset)
        seconds = time.perf_counter() - started
        own = own or seconds
        background = sum(i.frame.bytes_background for i in images) / len(images)
        objects = sum(i.frame.bytes_objects for i in images) / len(images)
        background_db, object_db = mean_db(i.background_db for i in images), mean_db(i.object_db for i in images)
        print(
            f"| {name} | {background:,.0f} B, {background_db:.2f} dB | {objects:,.0f} B, {object_db:.2f} dB "
            f"| {seconds / own:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
