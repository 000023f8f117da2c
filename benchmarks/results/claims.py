"""What this project claims, one line each, and where its number stands.

`ours`, `paper` and `control` are texts with values in braces, ``{balanced.mean.ratio|.2f}``: a value of the claim's
record, or of another one where the name begins with ``@``, ``{@controls.balanced.mean.bytes|,.0f}``, and its format.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        topic: the heading it stands under.
        words: what is claimed, with the bound.
        record: the record that has the number.
        ours: our figure.
        judged: the value that decides; or a value in words, an answer that a benchmark came to, where `wanted` is None.
        wanted: its bound: at least so much, or at most with `at_most`.
        paper: what the paper reports, or what it has to be set beside; empty where it says nothing.
        control: the best control's figure, or ours over it.
    """

    topic: str
    words: str
    record: str
    ours: str
    judged: str
    wanted: float | None = None
    at_most: bool = False
    paper: str = ""
    control: str = ""


TEN, BYTES, TRAINING, CLIPS, SPEED, SCALE = (
    "Data over ten devices", "Bytes at equal quality", "What is learned, and how fast", "Clips",
    "Speed of the codec", "Store, delivery, pipeline",
)  # fmt: skip

_PAPER_TEN = "5.16 times"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        TEN, "The paper's own networks, entropy coded: at least 5.16 times less than JPEGs from device to device",
        "network",
        "{paper.ratio|.2f} times less; {paper.raw_ratio|.2f} with weights sent as they are", "paper.ratio", 5.16,
        paper=_PAPER_TEN,
        control="{paper_best_control.preset|} at no lower quality: {paper_best_control.ratio|.2f} times",
    ),
    Claim(
        TEN, "`balanced`, captured JPEGs uploaded: at least 7 times less", "network",
        "{balanced.ratio|.2f} times less", "balanced.ratio", 7, paper=_PAPER_TEN,
        control="{best_control.preset|} at no lower quality: {best_control.ratio|.2f} times",
    ),
    Claim(
        TEN, "`siren`, the paper's kind of network: at least 5.16 times less", "network",
        "{siren.ratio|.2f} times less", "siren.ratio", 5.16, paper=_PAPER_TEN,
        control="{siren_best_control.preset|} at no lower quality: {siren_best_control.ratio|.2f} times",
    ),
    Claim(
        TEN, "`cheapest`, each image by the family that takes fewest bytes: at least 7 times less", "network",
        "{cheapest.ratio|.2f} times less", "cheapest.ratio", 7, paper=_PAPER_TEN,
        control="{cheapest_best_control.preset|} at no lower quality: {cheapest_best_control.ratio|.2f} times",
    ),
    Claim(
        TEN, "`balanced`, uploads shrunk at the device: past 9, which captured uploads cannot pass", "network",
        "{shrunk.ratio|.2f} times less", "shrunk.ratio", 9, paper=_PAPER_TEN,
        control="{shrunk_best_control.preset|} at no lower quality: {shrunk_best_control.ratio|.2f} times",
    ),
    Claim(
        TEN, "Uploads shrunk at the device to AVIF 90: at most 0.3 dB of the objects' PSNR", "uploads",
        "{all.avif-90.object-change|+.2f} dB, {all.avif-90.uploaded|.1%} of the captured bytes",
        "all.avif-90.object-change", -0.3, control="JPEG 90: {all.jpeg-90.object-change|+.2f} dB, "
        "{all.jpeg-90.uploaded|.1%}",
    ),
    Claim(
        BYTES, "`balanced` takes fewer bytes than the cheapest codec control no worse in background and in objects, "
        "in the mean", "controls",
        "{balanced.mean.bytes|,.0f} B, {balanced.mean.ratio|.2f} of it", "balanced.mean.ratio", 1, at_most=True,
        control="{balanced.mean.control|}: {balanced.mean.control_bytes|,.0f} B",
    ),
    Claim(
        BYTES, "Likewise folder by folder, in the median over folders", "controls",
        "{balanced.folders.median_ratio|.2f} of it, below in {balanced.folders.below|d} of {balanced.folders.count|d}",
        "balanced.folders.median_ratio", 1, at_most=True, control="the cheapest of each folder",
    ),
    Claim(
        BYTES, "Sine networks alone (`siren`): at most half of two-stream JPEG 5 + 75, in the mean", "controls_siren",
        "{siren.fixed.jpeg-5-75.mean_ratio|.2f} of it", "siren.fixed.jpeg-5-75.mean_ratio", 0.5, at_most=True,
        control="{siren.mean.ratio|.2f} of {siren.mean.control|} in the mean, {siren.median.ratio|.2f} in the median",
    ),
    Claim(
        BYTES, "`fine`, near the paper's 34.6 / 35.7 dB: fewer bytes than the cheapest control", "controls_fine",
        "{fine.mean.bytes|,.0f} B, {fine.mean.ratio|.2f} of it", "fine.mean.ratio", 1, at_most=True,
        paper="30 kB", control="{fine.mean.control|}: {fine.mean.control_bytes|,.0f} B",
    ),
    Claim(
        BYTES, "Likewise in the median over frames", "controls_fine",
        "{fine.median.bytes|,.0f} B, {fine.median.ratio|.2f} of it", "fine.median.ratio", 1, at_most=True,
        control="{fine.median.control|}: {fine.median.control_bytes|,.0f} B",
    ),
    Claim(
        BYTES, "Objects of their own: 3 dB above one network for the whole frame, at equal bytes", "controls",
        "{balanced.neural.rapid.gain_db|+.1f} dB", "balanced.neural.rapid.gain_db", 3,
        control="one network: {balanced.neural.rapid.object_db|.2f} dB",
    ),
    Claim(
        BYTES, "Residuals: above object networks of pixels, at equal bytes", "controls",
        "{balanced.neural.direct.gain_db|+.2f} dB", "balanced.neural.direct.gain_db", 0,
        control="pixels: {balanced.neural.direct.object_db|.2f} dB",
    ),
    Claim(
        TRAINING, "Learning from networks, as the device job does: no worse than from captured JPEGs, by 2 points of "
        "mAP50", "accuracy",
        "{arm.b-dropped-patched.map50|.1f} beside {arm.a.map50|.1f}",
        "verdict.is-b-dropped-patched-no-worse-than-a-margin-2-points.answer",
        paper="no loss",
        control="two-stream WebP of the same bytes: {arm.d-webp-dropped-patched.map50|.1f}",
    ),
    Claim(
        TRAINING, "Likewise as payloads come, without the loader's remedies", "accuracy",
        "{arm.b.map50|.1f} beside {arm.a.map50|.1f}", "verdict.is-b-no-worse-than-a-margin-2-points.answer",
        paper="no loss", control="backgrounds alone: {arm.c.map50|.1f}",
    ),
    Claim(
        TRAINING, "A training step on a CPU, `instant`: 2.9 times as fast as with Pillow's full decode",
        "training_speed",
        "{instant.step_over_full|.2f} times", "instant.step_over_full", 2.9, paper="2.9 times",
        control="{instant.step_over_best|.2f} times the best JPEG pipeline; with nothing to load "
        "{floor.step_over_full|.2f}",
    ),
    Claim(
        TRAINING, "A training step on a GPU: 2.9 times as fast as with the best Pillow pipeline", "training_speed_gpu",
        "{balanced.step_over_pillow|.2f} times", "balanced.step_over_pillow", 2.9, paper="2.9 times",
        control="nvJPEG, DALI",
    ),
    Claim(
        TRAINING, "Loading `balanced` on a CPU: at least as fast as Pillow's best way, `draft`", "training_speed",
        "{balanced.loader_over_pillow|.2f} times", "balanced.loader_over_pillow", 1,
        control="{balanced.loader_over_best|.2f} times the best of all JPEG loaders",
    ),
    Claim(
        CLIPS, "At most 0.6 of the bytes of frames alone, in the median over sequences", "clips",
        "{median.clips|.2f} of them", "median.clips", 0.6, at_most=True,
        control="SVT-AV1 + crops {median.svt-av1|.2f}, x265 + crops {median.x265|.2f}",
    ),
    Claim(
        CLIPS, "At most a third of two-stream JPEG 5 + 75 at its PSNRs, in the median", "clips",
        "{verdict.clips-over-two-stream-jpeg-at-jpeg-5-75-s-psnrs-median.measured|.2f} of it",
        "verdict.clips-over-two-stream-jpeg-at-jpeg-5-75-s-psnrs-median.measured", 0.3333333, at_most=True,
    ),
    Claim(
        CLIPS, "Fewer bytes than SVT-AV1 with crops, in the median", "clips",
        "{verdict.clips-over-svt-av1-crops-at-our-psnrs-median.measured|.2f} of it",
        "verdict.clips-over-svt-av1-crops-at-our-psnrs-median.measured", 1, at_most=True,
        control="SVT-AV1, preset 4",
    ),
    Claim(
        CLIPS, "Fewer bytes than x265 with crops, in the median", "clips",
        "{verdict.clips-over-x265-crops-at-our-psnrs-median.measured|.2f} of it",
        "verdict.clips-over-x265-crops-at-our-psnrs-median.measured", 1, at_most=True, control="x265, slow",
    ),
    Claim(
        SPEED, "Decoding `balanced` takes no longer than Pillow's best way to read the JPEG", "decode_speed",
        "{balanced.cpu_ms|.2f} ms, {balanced.cpu_over_draft|.2f} of it", "balanced.cpu_over_draft", 1, at_most=True,
        control="`draft`: {pillow-draft.cpu_ms|.2f} ms",
    ),
    Claim(
        SPEED, "Decoding `siren` takes no longer than a full decode and LANCZOS", "decode_speed",
        "{siren.cpu_ms|.1f} ms, {siren.cpu_over_full|.2f} of it", "siren.cpu_over_full", 1, at_most=True,
        control="full decode: {pillow-full-and-lanczos.cpu_ms|.2f} ms",
    ),
    Claim(
        SPEED, "Fitting `balanced` takes a thousandth of the released schedule's time", "fit_speed",
        "{balanced.seconds|.2f} s, 1/{balanced.times_faster|,.0f} of it", "balanced.times_faster", 1000,
        paper="10,000 steps: {reference.seconds|,.0f} s here",
    ),
    Claim(
        SPEED, "`instant` encodes 20 frames a second on one core", "fit_speed",
        "{instant.rate|.1f} a second", "instant.rate", 20,
        control="AVIF at speed 4: {instant.avif_rate|.1f} a second",
    ),
    Claim(
        SPEED, "Grouping: 32 object networks of 16x16 a call, 5 times as fast as one by one (`fast`)", "grouping",
        "{objects-of-fast-16x16.32.times|.1f} times", "objects-of-fast-16x16.32.times", 5,
        control="one a call: {objects-of-fast-16x16.alone_ms|.2f} ms",
    ),
    Claim(
        SCALE, "A million rows: one image is looked up in less than 20 ms", "store",
        "{questions.lookup_median_ms|.1f} ms", "questions.lookup_median_ms", 20, at_most=True,
        control="pyarrow alone: {questions.plain.lookup_median_ms|.1f} ms",
    ),
    Claim(
        SCALE, "A million rows: the last hundred appends cost at most 1.5 times the first", "store",
        "{append.ratio|.2f} times", "append.ratio", 1.5, at_most=True,
        control="plain Parquet files: {append.plain_ratio|.2f} times",
    ),
    Claim(
        SCALE, "A million rows: at most 1.10 bytes of the store a byte of payload", "store",
        "{bytes.ratio|.3f}", "bytes.ratio", 1.10, at_most=True,
    ),
    Claim(
        SCALE, "Planning a delivery of 100,000 images: at most 3 times a plain anti-join", "delivery",
        "{rows-100000.ratio|.2f} of it", "rows-100000.ratio", 3, at_most=True,
        control="pyarrow's: {rows-100000.anti_join_control_s|.2f} s",
    ),
    Claim(
        SCALE, "Ingestion: two thirds of the rate of reading, decoding and hashing alone", "ingestion",
        "{throughput.ratio|.2f} of it", "throughput.ratio", 0.667,
        control="plain: {throughput.plain|,.0f} pictures a second",
    ),
    Claim(
        SCALE, "A scheduled run that finds nothing: less than twice the processor time of an empty flow",
        "idle_pipeline",
        "{ratio|.2f} times", "ratio", 2, at_most=True,
    ),
    Claim(
        SCALE, "Two Dask workers: at least 1.6 times the rate of one", "dask_scaling",
        "{scaling.two-workers-to-one|.2f} times", "scaling.two-workers-to-one", 1.6,
        control="plain processes: {scaling.two-plain-processes-to-one|.2f} times",
    ),
)  # fmt: skip
