//! Families of the exposition: name, help and type in one place each, and their series.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram as HistogramValue, LabelPair, Metric, MetricFamily, MetricType,
};

use super::histogram::Histogram;

/// A family's name, help text and type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
}

/// Label names and values of a series.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

impl Family {
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::COUNTER }
    }

    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::GAUGE }
    }

    pub(super) const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::HISTOGRAM }
    }

    fn with(self, metrics: Vec<Metric>) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(metrics);
        family
    }
}

/// What is put together for one scrape. A family without series vanishes.
#[derive(Debug, Default)]
pub(super) struct Families(Vec<MetricFamily>);

impl Families {
    /// One series without labels.
    pub(super) fn value(&mut self, family: Family, value: f64) {
        self.0.push(family.with(vec![series(family, &[], value)]));
    }

    /// One series without labels, where the value is known.
    pub(super) fn known(&mut self, family: Family, value: Option<f64>) {
        if let Some(value) = value {
            self.value(family, value);
        }
    }

    /// One series with labels, of value 1: the labels are what is told.
    pub(super) fn info(&mut self, family: Family, labels: Labels<'_>) {
        self.0.push(family.with(vec![series(family, labels, 1.0)]));
    }

    /// A series for each value of one label.
    pub(super) fn by<'a>(
        &mut self,
        family: Family,
        label: &'static str,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        let metrics = values.into_iter().map(|(name, value)| series(family, &[(label, name)], value));
        self.0.push(family.with(metrics.collect()));
    }

    /// A series for each combination of two labels.
    pub(super) fn by_two<'a>(
        &mut self,
        family: Family,
        labels: [&'static str; 2],
        values: impl IntoIterator<Item = ([&'a str; 2], f64)>,
    ) {
        let [first, second] = labels;
        let metrics =
            values.into_iter().map(|([a, b], value)| series(family, &[(first, a), (second, b)], value));
        self.0.push(family.with(metrics.collect()));
    }

    /// A histogram without labels.
    pub(super) fn distribution<const N: usize>(&mut self, family: Family, histogram: &Histogram<N>) {
        let buckets = histogram.cumulative().map(|(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut value = HistogramValue::default();
        value.set_bucket(buckets.collect());
        value.set_sample_count(histogram.count());
        value.set_sample_sum(histogram.sum());
        let mut metric = Metric::default();
        metric.set_histogram(value);
        self.0.push(family.with(vec![metric]));
    }

    pub(super) fn into_vec(self) -> Vec<MetricFamily> {
        self.0
    }
}

fn series(family: Family, labels: Labels<'_>, value: f64) -> Metric {
    let labels = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    let mut metric = Metric::from_label(labels.collect());
    if family.kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}
