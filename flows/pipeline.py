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
from tasks.deliver import wait_for_devices
from tasks.encode import encoding_of
from tasks.fleet import read_fleet
from tasks.report import (
    PipelineReport,
    failure_of,
    gather_failures,
    publish_report,
    read_device_results,
    summarize_store,
)
from tasks.stages import Stopwatch


@flow(name="pipeline")
def pipeline(
    fleet: FleetFile,
    store: StoreUrl,
    preset: PresetName = "balanced",
    limit: Limit = None,
    batch: BatchSize = 0,
    cluster: Cluster = ClusterSettings(),  # noqa: B008  (frozen)
    epochs: Epochs = 30,
    seed: Seed = 0,
    accelerator: TorchDevice = "auto",
    patience: Patience = 60,
    report: ReportFolder = "",
) -> PipelineReport:
    """Ingest, encode, deliver, let the devices train, and compare: a stage that fails does not hide the others' work.

    The table, the mosaic and the devices' results stand as artifacts on the run. The run fails at its end where any
    part of a stage did.
    """
    devices = read_fleet(fleet)
    watch = Stopwatch()
    with watch.stage("ingest"):
        ingested = ingest(fleet, store, limit, return_state=True)
    with watch.stage("encode"):
        encoded = encode(fleet, store, preset, batch, cluster, accelerator, return_state=True)
    with watch.stage("deliver"):
        delivered = deliver(fleet, store, preset, epochs, seed, accelerator, return_state=True)
    runs = delivered.result() if delivered.is_completed() else []
    with watch.stage("compare"):  # while the devices train
        compared = compare_frames(devices, store, preset, report, return_state=True)
    with watch.stage("train"):
        outcomes = wait_for_devices(runs, start_seconds=6 * patience, total_seconds=60 * patience)
    failed = {
        "ingest": failure_of(ingested),
        "encode": failure_of(encoded),
        "deliver": failure_of(delivered),
        "compare": failure_of(compared),
    }
    result = PipelineReport(
        preset=preset,
        encoding_id=encoding_of(preset),
        stages=tuple(watch.stages),
        store=summarize_store(store, preset),
        ingested=tuple(ingested.result()) if ingested.is_completed() else (),
        comparison=compared.result() if compared.is_completed() else None,
        devices=read_device_results(outcomes),
        failures=gather_failures(failed, outcomes, store, preset),
    )
    publish_report(result, report)
    result.raise_for_failures()
    return result
