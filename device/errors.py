"""What keeps a device job from being done."""


class DeviceJobError(RuntimeError):
    """A job that cannot be done; the message says why and what to do."""


class NothingToTrainError(DeviceJobError):
    """There is nothing to train on, or nothing yet."""
