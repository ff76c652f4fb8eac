//! The answer of `/metrics`, in the `OpenMetrics` text format.
//!
//! Anything unknown has no sample, but for the three yes-or-no metrics, where 0 also stands for unknown.

use std::borrow::Cow;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::health::application::Application;
use crate::health::current_view::CurrentView;
use crate::health::verdict::{ANSWER_EXPIRY, DatabaseState, HealthVerdict, ProbeResult};
use crate::snapshot::{WorkerSnapshot, WorkerState};

pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const STATES: [WorkerState; 8] = [
    WorkerState::Starting,
    WorkerState::Idle,
    WorkerState::Busy,
    WorkerState::Draining,
    WorkerState::Wedged,
    WorkerState::CrashLoop,
    WorkerState::Dead,
    WorkerState::Unknown,
];

/// Writes the page.
pub(crate) fn page(
    application: Application,
    view: &CurrentView,
    probed: &ProbeResult,
    verdict: &HealthVerdict,
) -> String {
    let mut metrics = vec![of_build(application)];
    metrics.extend(of_server(view, probed, verdict));
    metrics.extend(of_workers(view.workers()));
    metrics.extend(of_queue(probed));
    // A registry for each page: all values are those of this moment, and nothing is counted in between.
    let mut registry = Registry::with_prefix(application.name);
    registry.register_collector(Box::new(MetricsPage(metrics)));
    let mut page = String::new();
    encode(&mut page, &registry).expect("a string takes whatever is written");
    page
}

#[derive(Debug)]
struct MetricsPage(Vec<Metric>);

#[derive(Debug)]
struct Metric {
    /// Without the unit and without `_total`, which are added.
    name: &'static str,
    help: Cow<'static, str>,
    unit: Option<Unit>,
    samples: Samples,
}

#[derive(Debug)]
enum Samples {
    Gauge(f64),
    /// One for each value of a label.
    Gauges(&'static str, Vec<(String, f64)>),
    /// One for each value of a label.
    Counters(&'static str, Vec<(String, u64)>),
    Info([(&'static str, &'static str); 1]),
}

fn of_build(application: Application) -> Metric {
    let version = [("version", application.version)];
    metric(
        "build",
        format!("The version of {} that answers", application.name),
        Samples::Info(version),
    )
}

fn of_server(view: &CurrentView, probed: &ProbeResult, verdict: &HealthVerdict) -> Vec<Metric> {
    let yes = |is: bool| Samples::Gauge(if is { 1.0 } else { 0.0 });
    let mut metrics = vec![
        metric(
            "ready",
            "1 if a job that is submitted now would be taken up, else 0",
            yes(verdict.is_ready()),
        ),
        metric(
            "supervisor_up",
            "1 if the process that looks after the workers was heard of within 10 s, else 0",
            yes(view.silence.is_none()),
        ),
        metric(
            "database_up",
            "1 if the database answered within 1 s when it was last asked, at most 5 s ago, else 0",
            yes(probed.database() == DatabaseState::Ok),
        ),
    ];
    if let Some(snapshot) = &view.snapshot {
        let wanted = Samples::Gauge(f64::from(snapshot.wanted));
        metrics.push(metric("workers_wanted", "Workers that there should be", wanted));
    }
    metrics
}

fn of_workers(workers: &[WorkerSnapshot]) -> Vec<Metric> {
    let in_state = |state: WorkerState| workers.iter().filter(|worker| worker.state == state).count();
    let states = STATES.map(|state| (state.name().to_owned(), number(in_state(state))));
    let of_each = |value: fn(&WorkerSnapshot) -> Option<f64>| {
        let samples = workers
            .iter()
            .filter_map(|worker| Some((worker.slot.to_string(), value(worker)?)));
        Samples::Gauges("slot", samples.collect())
    };
    let restarts = workers
        .iter()
        .map(|worker| (worker.slot.to_string(), worker.restarts.into()));
    vec![
        metric(
            "workers",
            "Workers by state",
            Samples::Gauges("state", states.into()),
        ),
        Metric {
            unit: Some(Unit::Seconds),
            ..metric(
                "worker_heartbeat_age",
                "Seconds since the last heartbeat of the worker",
                of_each(|worker| worker.heartbeat_age_seconds),
            )
        },
        metric(
            "worker_restarts",
            "Times that the worker was started again after it had ended by itself",
            Samples::Counters("slot", restarts.collect()),
        ),
        metric(
            "worker_running_jobs",
            "Jobs that the worker has in hand",
            of_each(|worker| Some(number(worker.running.len()))),
        ),
    ]
}

fn of_queue(probed: &ProbeResult) -> Vec<Metric> {
    let Some((queue, _)) = probed.queue.as_ref().filter(|(_, age)| *age <= ANSWER_EXPIRY) else {
        return Vec::new();
    };
    // Counts of jobs are far below 2^53.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let count = |jobs: u64| Samples::Gauge(jobs as f64);
    let waiting = queue.oldest_waiting_seconds.unwrap_or_default();
    let oldest = queue
        .priorities
        .iter()
        .map(|wait| (wait.priority.to_string(), wait.oldest_waiting_seconds));
    vec![
        metric("queue_queued", "Jobs that wait in the queue", count(queue.queued)),
        metric(
            "queue_running",
            "Jobs that a worker has claimed",
            count(queue.running),
        ),
        metric(
            "queue_stranded",
            "Waiting jobs of a version or a type that no live worker of the queue runs",
            count(queue.stranded),
        ),
        metric(
            "queue_paused",
            "1 while the queue is paused, so that none of its jobs starts",
            count(queue.paused.into()),
        ),
        Metric {
            unit: Some(Unit::Seconds),
            ..metric(
                "queue_oldest_waiting",
                "Seconds that the oldest job has waited that could have been started, 0 if none waits",
                Samples::Gauge(waiting),
            )
        },
        Metric {
            unit: Some(Unit::Seconds),
            ..metric(
                "queue_oldest",
                "Seconds that the oldest job of the priority has waited, of the ten priorities at most that are claimed last",
                Samples::Gauges("priority", oldest.collect()),
            )
        },
    ]
}

fn metric(name: &'static str, help: impl Into<Cow<'static, str>>, samples: Samples) -> Metric {
    Metric {
        name,
        help: help.into(),
        unit: None,
        samples,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "there are fewer workers and jobs in hand than 2^53"
)]
fn number(count: usize) -> f64 {
    count as f64
}

impl Collector for MetricsPage {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for metric in &self.0 {
            let Metric {
                name,
                help,
                unit,
                samples,
            } = metric;
            samples.encode(encoder.encode_descriptor(name, help, unit.as_ref(), samples.kind())?)?;
        }
        Ok(())
    }
}

impl Samples {
    fn kind(&self) -> MetricType {
        match self {
            Self::Gauge(_) | Self::Gauges(..) => MetricType::Gauge,
            Self::Counters(..) => MetricType::Counter,
            Self::Info(_) => MetricType::Info,
        }
    }

    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        match self {
            Self::Gauge(value) => encoder.encode_gauge(value),
            Self::Info(labels) => encoder.encode_info(labels),
            Self::Gauges(label, samples) => samples.iter().try_for_each(|(value, sample)| {
                encoder
                    .encode_family(&[(*label, value.as_str())])?
                    .encode_gauge(sample)
            }),
            Self::Counters(label, samples) => samples.iter().try_for_each(|(value, sample)| {
                let labels = [(*label, value.as_str())];
                encoder
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, _, u64>(sample, None)
            }),
        }
    }
}
