"""Metrics of the user's own: counters, histograms and gauges, made by a meter.

`Runtime.metric_meter`, `activity.metric_meter()` and `workflow.metric_meter()` are meters. Without
a runtime that has somewhere to put them, what is recorded goes nowhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar, Self, TypeAlias

MetricAttributes: TypeAlias = Mapping[str, str | int | float | bool]


class MetricCommon(ABC):
    """What all metrics have in common."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name."""

    @property
    @abstractmethod
    def description(self) -> str | None:
        """The description."""

    @property
    @abstractmethod
    def unit(self) -> str | None:
        """The unit."""

    @abstractmethod
    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> Self:
        """The same metric, with attributes that go along with each value.

        Raises TypeError for a value that is no str, int, float or bool.
        """


class MetricCounter(MetricCommon):
    """A number that only grows."""

    @abstractmethod
    def add(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        """Adds. Raises ValueError for a negative value."""


class MetricHistogram(MetricCommon):
    """How whole numbers are distributed."""

    @abstractmethod
    def record(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        """Records one. Raises ValueError for a negative value."""


class MetricHistogramFloat(MetricCommon):
    """How numbers are distributed."""

    @abstractmethod
    def record(self, value: float, additional_attributes: MetricAttributes | None = None) -> None:
        """Records one. Raises ValueError for a negative value."""


class MetricHistogramTimedelta(MetricCommon):
    """How durations are distributed; the runtime says in which unit."""

    @abstractmethod
    def record(
        self, value: timedelta, additional_attributes: MetricAttributes | None = None
    ) -> None:
        """Records one. Raises ValueError for a negative value."""


class MetricGauge(MetricCommon):
    """A whole number as it is now."""

    @abstractmethod
    def set(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        """Sets it. Raises ValueError for a negative value."""


class MetricGaugeFloat(MetricCommon):
    """A number as it is now."""

    @abstractmethod
    def set(self, value: float, additional_attributes: MetricAttributes | None = None) -> None:
        """Sets it. Raises ValueError for a negative value."""


class MetricMeter(ABC):
    """Makes metrics."""

    noop: ClassVar[MetricMeter]
    """The meter whose metrics go nowhere."""

    @abstractmethod
    def create_counter(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricCounter:
        """A counter."""

    @abstractmethod
    def create_histogram(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogram:
        """A histogram of whole numbers."""

    @abstractmethod
    def create_histogram_float(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogramFloat:
        """A histogram of numbers."""

    @abstractmethod
    def create_histogram_timedelta(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogramTimedelta:
        """A histogram of durations."""

    @abstractmethod
    def create_gauge(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricGauge:
        """A gauge of a whole number."""

    @abstractmethod
    def create_gauge_float(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricGaugeFloat:
        """A gauge of a number."""

    @abstractmethod
    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> MetricMeter:
        """A meter whose metrics all have these attributes besides.

        Raises TypeError for a value that is no str, int, float or bool.
        """
