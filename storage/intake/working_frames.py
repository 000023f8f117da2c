"""The working frame of an image that waits to be encoded, wherever its bytes are."""

from collections.abc import Mapping

from rinr.frames import Frame, working_frame
from rinr.labels import ImageLabels, boxes_from_canonical, image_id
from storage.credentials import Secrets, environment
from storage.devices import DeviceError, DeviceStorage, path_fault, safe_spelling
from storage.fleet import Device
from storage.intake.originals import original_places
from storage.landing import Landing
from storage.tables import Pending


def read_frame(
    pending: Pending, store_url: str, devices: Mapping[str, Device], secrets: Secrets = environment
) -> Frame:
    """The working frame of an image that waits to be encoded.

    Its bytes come from the landing place, or where they are not there (any more) from the device that has
    the file.

    Args:
        pending: from :meth:`storage.store.Store.missing`.
        store_url: of the store with the landing place.
        devices: by name.
        secrets: gives the secrets that their options refer to.

    Raises:
        DeviceError: neither place has these bytes; the message says what to do.
        rinr.frames.ImageError: they are not a picture, which ingestion would have refused.
    """
    jpeg = Landing(store_url).get(pending.image_id)
    if jpeg is None:
        jpeg = _read_again(pending, devices, secrets)
    labels = ImageLabels(pending.path, pending.annotated_size, None, boxes_from_canonical(pending.labels))
    return working_frame(jpeg, labels)


def _read_again(pending: Pending, devices: Mapping[str, Device], secrets: Secrets) -> bytes:
    name = f"{safe_spelling(pending.path)} of device {pending.device}"
    if pending.device not in devices:
        raise DeviceError(f"{name} has not landed, and the fleet has no such device; add it to the fleet file")
    storage = DeviceStorage(devices[pending.device], secrets)
    failure: DeviceError | None = None
    for place in original_places(pending.path, pending.image_id):
        if path_fault(place):
            continue
        try:
            jpeg = storage.read(place)
        except DeviceError as error:
            if place == pending.path:
                failure = error
            continue
        if image_id(jpeg) == pending.image_id:
            return jpeg
    if failure:
        raise failure
    raise DeviceError(f"{name} has not landed, and the device's file has other content now; ingest it anew")
