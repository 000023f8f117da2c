"""Cosine networks: one layer of fixed features over tiles, its weights fitted in closed form, quantized and coded.

On each tile of a region ``f(x, y) = sum_uv c_uv cos(pi u x) cos(pi v y)``, faded into its neighbours by windows
(:mod:`rinr.networks.cosine_basis`). Said plainly: this is a windowed discrete cosine transform seen as a coordinate
network. It is linear, and nothing in it is learned by descent. It is here because it was measured: at the same PSNR it
needs fewer bytes than the SIREN of the paper, fits in milliseconds, and decodes with two small matrix products a tile,
at any size and crop, since cosines can be evaluated anywhere (docs/results.md).

What a network is and how it is written stands in :mod:`rinr.networks.cosine_coding`, how it is fitted in
:mod:`rinr.networks.cosine_fitting`, how it is rendered in :mod:`rinr.networks.cosine_rendering`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from rinr.networks import cosine_coding
from rinr.networks.cosine_coding import OVERLAPS, TILES, CosineNetwork
from rinr.networks.cosine_fitting import fit
from rinr.networks.cosine_rendering import CosineStack, arrays
from rinr.networks.family import Arrays, OnWork
from rinr.networks.settings import CosineSettings


class CosineFamily:
    """The family ``cosine``: see :class:`rinr.networks.family.Family`."""

    name = "cosine"
    code = 3

    def work(self, settings: CosineSettings) -> int:
        """Image-steps of one picture's fit: a sweep is one."""
        return settings.sweeps * len(settings.tiles)

    def fit(
        self,
        pictures: Sequence[Tensor],
        settings: CosineSettings,
        on_work: OnWork | None = None,
        *,
        shares: Sequence[float] | None = None,
    ) -> list[CosineNetwork]:
        """Fit and quantize one network a picture; errors are sums over pixels, so ``shares`` change nothing."""
        networks = []
        for picture in pictures:
            networks.append(fit(picture, settings))
            if on_work:
                on_work(self.work(settings))
        return networks

    def write(self, networks: Sequence[CosineNetwork]) -> bytes:
        """Entropy code networks of one layout into one body."""
        return cosine_coding.write(networks)

    def read(self, data: bytes, sizes: Sequence[tuple[int, int]]) -> list[CosineNetwork]:
        """Entropy decode a body."""
        return cosine_coding.read(data, sizes)

    def arrays(self, networks: Sequence[CosineNetwork]) -> Arrays:
        """See :func:`rinr.networks.cosine_rendering.arrays`."""
        return arrays(networks)

    def stack(self, arrays: Arrays, device: str, share: float = 1.0) -> "CosineStack":
        """Put networks of one group on a device."""
        return CosineStack(arrays, device, share)

    def describe(self, network: CosineNetwork) -> dict[str, Any]:
        """See :class:`rinr.networks.family.Describing`."""
        layout = network.layout
        step, tile, overlap = float(f"{layout.step_size:.4g}"), TILES[layout.tile], OVERLAPS[layout.overlap]
        down, across, rows, columns = network.fine.shape[1:]
        return {
            "brief": f"step {step:g} tile {tile}" + (f" overlap {overlap:g}" if overlap else ""),
            "step": step,
            "tile": tile,
            "overlap": overlap,
            "tiles": [across, down],
            "waves": [columns, rows],
            "weights": int(np.count_nonzero(network.coarse) + np.count_nonzero(network.fine)),
            "offset": list(network.offset) if layout.offset else None,
            "axes": list(layout.axes) if layout.axes else None,
        }

    def describe_body(self, body: bytes, networks: Sequence[CosineNetwork]) -> dict[str, Any]:
        """See :class:`rinr.networks.family.Describing`."""
        layout = networks[0].layout
        header = 4 + 3 * (layout.axes is not None) + 3 * layout.offset * len(networks)
        waves, density = body[2], body[3]
        return {
            "header_bytes": header,
            "waves": waves & 31,
            "rates": {"density": density & 31, "chroma": density >> 5, "slope": waves >> 5},
        }

    def ideal_bits(self, networks: Sequence[CosineNetwork]) -> list[float]:
        """See :class:`rinr.networks.family.Describing`."""
        return cosine_coding.body_bits(networks)


COSINE = CosineFamily()
