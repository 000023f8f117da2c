"""The flow `pipeline`: all stages in order, from the devices' JPEGs to detectors trained on decoded weights."""

from prefect import flow

from flows.deliver import deliver
from flows.encode import encode
from flows.ingest import ingest
from flows.parameters import (
    BatchSize,
    Cluster,
    Epochs,
    FleetFile,
    Limit,
    Patience,
    PresetName,
    ReportFolder,
    Seed,
    StoreUrl,
    TorchDevice,
)
from tasks.cluster_settings import ClusterSettings
from tasks.compare import compare_frames
from tasks.deliver import hear_devices
from tasks.device_runs import wait_for_devices
from tasks.encode import encoding_of
from tasks.ending import NOTHING_NEW, ended
from tasks.fleet import preset_of, read_fleet
from tasks.news import EVERYTHING, look_for_news
from tasks.publish_pipeline import publish_report, runs_of
from tasks.report import (
    PipelineReport,
    failure_of,
    gather_failures,
    read_device_results,
    summarize_store,
    value_of,
)
from tasks.stages import Stopwatch


@flow(name="pipeline")
def pipeline(
    fleet: FleetFile,
    store: StoreUrl,
    preset: PresetName = "fleet",
    limit: Limit = None,
    batch: BatchSize = 0,
    cluster: Cluster = ClusterSettings(),  # noqa: B008  (frozen)
    epochs: Epochs = 30,
    seed: Seed = 0,
    accelerator: TorchDevice = "auto",
    patience: Patience = 60,
    report: ReportFolder = "",
) -> PipelineReport | None:
    """Ingest, encode, deliver, let the devices train, and compare: a stage that fails does not hide the others' work.

    The summary, the mosaic and the devices' results stand as artifacts on the run. The run fails at its end where any
    part of a stage did. With no patience, as on schedule, the devices are not waited for, and where nothing is new the
    run ends at once, with no result.
    """
    devices = read_fleet(fleet)
    named = preset_of(devices, preset)
    news = EVERYTHING if patience else look_for_news(devices, store, named)
    if not news:
        return ended(None, NOTHING_NEW)
    watch = Stopwatch()
    ingested = encoded = delivered = compared = outcomes = None
    if news.pictures:
        with watch.stage("ingest"):
            ingested = ingest(fleet, store, limit, return_state=True)
    if news.images:
        with watch.stage("encode"):
            encoded = encode(fleet, store, preset, batch, cluster, accelerator, return_state=True)
    with watch.stage("deliver"):
        delivered = deliver(fleet, store, preset, epochs, seed, accelerator, return_state=True)
    reports, runs = value_of(ingested, ()), value_of(delivered, ())
    if patience or value_of(encoded, 0):
        with watch.stage("compare"):  # while the devices train
            compared = compare_frames(devices, store, named, report, return_state=True)
    if patience:
        with watch.stage("train"):
            outcomes = wait_for_devices(runs, start_seconds=6 * patience, total_seconds=60 * patience)
            hear_devices(devices, store)
    stages = {"ingest": ingested, "encode": encoded, "deliver": delivered, "compare": compared}
    result = PipelineReport(
        preset=named,
        encoding_id=encoding_of(named),
        stages=tuple(watch.stages),
        ingested=tuple(reports),
        encoded=value_of(encoded, 0),
        runs=tuple(runs),
        store=summarize_store(store, named),
        comparison=value_of(compared, None),
        devices=read_device_results(outcomes or ()),
        failures=gather_failures({name: failure_of(state) for name, state in stages.items()}, outcomes, store, named),
    )
    publish_report(result, runs_of(stages), report)
    result.raise_for_failures()
    return ended(result, result.sentence)
