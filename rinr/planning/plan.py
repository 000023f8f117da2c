"""A plan: what a round of a fleet's pictures costs in each way of sending them, from what a sample of them measured.

All here is arithmetic over :mod:`rinr.traffic`; what is measured comes from :mod:`rinr.planning.survey`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from rinr.controls import describe
from rinr.planning.encoding import Measured
from rinr.planning.survey import Survey
from rinr.presets import find_preset
from rinr.traffic import (
    NOTHING_SHARED,
    Exchange,
    SharedPart,
    Traffic,
    bound,
    break_even,
    direct,
    images_for_model,
    model_break_even,
    model_sent,
    own_link_seconds,
    radio_seconds,
    relayed,
)

Kind = Literal["direct", "fog jpeg", "uploads", "control", "ours", "policy", "clips", "model", "direct control"]

MOST_DRAWN = 20
"""Receivers over which ratios are drawn, at least."""


@dataclass(frozen=True)
class Setting:
    """The fleet that a plan is for.

    Attributes:
        exchange: its round.
        rate: bytes a second of its radio.
        cores: of the fog node.
        model_bytes: of a trained detector.
        epochs: of a training at the fog.
    """

    exchange: Exchange
    rate: float
    cores: int
    model_bytes: int | None = None
    epochs: int = 20


@dataclass(frozen=True)
class Sending:
    """How one way sends.

    Attributes:
        route: ``direct``: devices to each other; ``relay``: up to the fog and down; ``model``: up, and a model down.
        upload_bytes: of a picture and its labels as devices send them.
        payload_bytes: of a picture as it comes down; of the model.
        shared: what frames of clips share besides.
    """

    route: Literal["direct", "relay", "model"]
    upload_bytes: float
    payload_bytes: float = 0.0
    shared: SharedPart = NOTHING_SHARED

    def traffic(self, exchange: Exchange) -> Traffic:
        """Bytes of a round."""
        if self.route == "direct":
            return direct(exchange, self.upload_bytes)
        if self.route == "model":
            return model_sent(exchange, self.upload_bytes, self.payload_bytes)
        return relayed(exchange, self.upload_bytes, self.payload_bytes, self.shared)


@dataclass(frozen=True)
class Way:
    """A line of the plan.

    Attributes:
        name: for people.
        kind: which line it is.
        preset: with which the fog, or the device, encodes; ``None`` where the captured JPEG or a model is sent.
        sending: bytes a picture.
        background_db: PSNR of what receivers get, outside the boxes; ``None`` of captured JPEGs and models.
        object_db: likewise, over the union of the boxes.
        traffic: bytes of a round.
        ratio: how many times fewer they are than with captured JPEGs from device to device.
        radio_seconds: of a round on one radio that all share.
        own_link_seconds: where each device has a link of its own.
        fog_core_hours: of encoding or training at the fog, on one core; ``None`` where that was not measured.
        device_seconds: of one device in a round, on one core of the machine that measured: decoding what it receives
            once, and encoding what it sends.
        break_even: the fewest receivers with which it takes fewer bytes than captured JPEGs from device to device;
            ``None`` where no number does.
        families: frames of the sample by network family or codec; empty of captured JPEGs and models.
    """

    name: str
    kind: Kind
    preset: str | None
    sending: Sending
    background_db: float | None
    object_db: float | None
    traffic: Traffic
    ratio: float
    radio_seconds: float
    own_link_seconds: float
    fog_core_hours: float | None
    device_seconds: float
    break_even: int | None
    families: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """All ways over the same frames.

    Attributes:
        ways: those that were measured, in the order of the table.
        uploaded: bytes of uploads as a part of captured JPEGs with their labels.
        images_for_model: from how many images a round training at the fog takes fewer bytes than ours.
    """

    setting: Setting
    survey: Survey
    ways: tuple[Way, ...]
    uploaded: float
    images_for_model: int | None

    def find(self, kind: Kind) -> Way | None:
        """The way of a kind that takes the fewest bytes."""
        return min((way for way in self.ways if way.kind == kind), key=lambda way: way.traffic.total, default=None)

    def curve(self, way: Way) -> list[float]:
        """Ratios over 1, 2, ... receivers, each in a fleet that is one larger."""
        fleets = [self._fleet(receivers) for receivers in range(1, self.drawn + 1)]
        return [self.ways[0].sending.traffic(f).total / way.sending.traffic(f).total for f in fleets]

    def bound(self, receivers: int, upload: float = 1.0) -> float:
        """What no ratio passes with so many receivers, where uploads are such a part of captured JPEGs."""
        fleet = self._fleet(receivers)
        return bound(fleet.copies, upload * fleet.sendings)

    def _fleet(self, receivers: int) -> Exchange:
        return replace(self.setting.exchange, receivers=receivers, devices=receivers + 1)

    @property
    def drawn(self) -> int:
        """Receivers over which ratios are drawn."""
        return max(MOST_DRAWN, self.setting.exchange.receivers)


def make_plan(survey: Survey, setting: Setting) -> Plan:
    """Work out what a round takes in each way."""
    return _Planner(survey, setting).plan()


class _Planner:
    def __init__(self, survey: Survey, setting: Setting) -> None:
        self.survey, self.setting, self.exchange = survey, setting, setting.exchange
        sample = survey.sample
        self.captured = sample.picture_bytes
        self.labels = sample.label_bytes
        self.upload = survey.uploads.picture_bytes + self.labels
        self.baseline = direct(self.exchange, self.captured, self.labels)

    def plan(self) -> Plan:
        survey, sample = self.survey, self.survey.sample
        jpeg = self.captured + self.labels
        whole = self.captured + sample.packed_label_bytes
        ways = [
            self._way("device to device, JPEG", "direct", Sending("direct", jpeg), decode=sample.open_seconds),
            self._way("fog, JPEG", "fog jpeg", Sending("relay", jpeg, whole), decode=sample.open_seconds),
        ]
        if survey.uploads.name != "jpeg":
            ways += self._shrunk()
        ways += [self._relayed(f"fog, {_words(each.preset)}", "control", each) for each in survey.controls]
        picks = find_preset(survey.ours.preset).policy is not None
        name = f"fog, {'policy' if picks else 'ours'}: {survey.ours.preset}"
        ways.append(self._relayed(name, "policy" if picks else "ours", survey.ours))
        if survey.policy:
            ways.append(self._relayed(f"fog, policy: {survey.policy.preset}", "policy", survey.policy))
        if survey.clips:
            ways.append(self._relayed(f"fog, ours: {survey.clips.preset}", "clips", survey.clips))
        model = self.setting.model_bytes
        if model is not None:
            hours = None if survey.train_seconds is None else self.setting.epochs * survey.train_seconds
            ways.append(self._way("training at the fog", "model", Sending("model", self.upload, model), fit=hours))
        if survey.sent_directly:
            ways.append(self._directly(survey.sent_directly))
        wins = None if model is None else images_for_model(self.exchange, survey.ours.payload_bytes, model)
        return Plan(self.setting, survey, tuple(ways), self.upload / jpeg, wins)

    def _shrunk(self) -> list[Way]:
        uploads, sample = self.survey.uploads, self.survey.sample
        payload = uploads.picture_bytes + sample.packed_label_bytes
        quality = (uploads.background_db, uploads.object_db)
        ways = [
            self._way(f"device to device, {uploads.name}", "uploads", Sending("direct", self.upload), quality),
            self._way(f"fog, {uploads.name}", "uploads", Sending("relay", self.upload, payload), quality),
        ]
        return [replace(way, preset=uploads.name, device_seconds=self._encoding_uploads()) for way in ways]

    def _relayed(self, name: str, kind: Kind, each: Measured) -> Way:
        way = self._way(
            name,
            kind,
            Sending("relay", self.upload, each.payload_bytes, each.shared),
            (each.background_db, each.object_db),
            fit=each.fit_seconds,
            decode=each.decode_seconds,
        )
        return replace(
            way,
            preset=each.preset,
            families=each.families,
            device_seconds=way.device_seconds + self._encoding_uploads(),
        )

    def _directly(self, each: Measured) -> Way:
        """The device encodes and sends to the others itself; labels are inside."""
        way = self._way(
            f"device to device, {_words(each.preset)}",
            "direct control",
            Sending("direct", each.payload_bytes),
            (each.background_db, each.object_db),
            decode=each.decode_seconds,
        )
        own = self.exchange.images / self.exchange.devices * each.fit_seconds
        return replace(
            way, preset=each.preset, families=each.families, device_seconds=way.device_seconds + own, fog_core_hours=0.0
        )

    def _encoding_uploads(self) -> float:
        return self.exchange.images / self.exchange.devices * self.survey.uploads.encode_seconds

    def _way(
        self,
        name: str,
        kind: Kind,
        sending: Sending,
        quality: tuple[float | None, float | None] = (None, None),
        *,
        fit: float | None = 0.0,
        decode: float = 0.0,
    ) -> Way:
        exchange = self.exchange
        traffic = sending.traffic(exchange)
        received = exchange.images * exchange.receivers * exchange.share / exchange.recipients
        return Way(
            name=name,
            kind=kind,
            preset=None,
            sending=sending,
            background_db=quality[0],
            object_db=quality[1],
            traffic=traffic,
            ratio=self.baseline.total / traffic.total,
            radio_seconds=radio_seconds(traffic, self.setting.rate),
            own_link_seconds=own_link_seconds(traffic, exchange, self.setting.rate),
            fog_core_hours=None if fit is None else exchange.images * fit / 3_600,
            device_seconds=received * decode,
            break_even=self._break_even(sending),
        )

    def _break_even(self, sending: Sending) -> int | None:
        exchange = self.exchange
        if sending.route == "direct":
            return 1 if sending.upload_bytes < self.captured + self.labels else None
        if sending.route == "model":
            return model_break_even(exchange, self.captured, self.labels, sending.upload_bytes, sending.payload_bytes)
        payload = sending.payload_bytes + (sending.shared.a_frame(exchange) if sending.shared.frames else 0.0)
        return break_even(exchange, self.captured, self.labels, sending.upload_bytes, payload)


def _words(preset: str) -> str:
    return describe(find_preset(preset))
