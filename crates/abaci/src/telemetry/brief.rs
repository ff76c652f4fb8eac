//! Log lines for a person at a terminal: the time of day, and of each event what fits on one line.
//!
//! Files and pipes get every field in full; here a job is named by the end of its id and a worker of this host by its slot.
//! A line that is still too long loses the least useful fields, and then the end of its longest value. Warnings and errors
//! lose nothing, since a reason that is cut is none.
//!
//! Values are escaped: some of them come from rows that anybody can write.

use std::fmt::{self, Debug, Write};
use std::time::SystemTime;

use owo_colors::{OwoColorize, Style};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::output::{columns_of, visible};

/// The width of a terminal that does not report one.
const USUAL_COLUMNS: usize = 100;

/// The least useful fields, the least useful first.
const DISPENSABLE: [&str; 7] = [
    "concurrency",
    "algorithm",
    "queue",
    "grace",
    "job",
    "pid",
    "attempt",
];

/// The form of the lines.
pub(super) struct Brief {
    /// This machine's name, which its own workers need not repeat.
    pub(super) host: String,
}

impl<S, N> FormatEvent<S, N> for Brief
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said::by(&self.host);
        event.record(&mut said);
        let level = *event.metadata().level();
        // The library orders levels by how much they let through: these are INFO, DEBUG and TRACE.
        if level >= Level::INFO {
            said.fit(columns_of(&std::io::stderr()).unwrap_or(USUAL_COLUMNS));
        }
        let styles = Styles::new(level, writer.has_ansi_escapes());
        said.write(&mut writer, level, &styles)
    }
}

/// The parts of one event.
struct Said<'a> {
    host: &'a str,
    time: String,
    message: String,
    fields: Vec<(String, String)>,
}

impl<'a> Said<'a> {
    fn by(host: &'a str) -> Self {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        Self {
            host,
            time: now
                .split_once('T')
                .map_or_else(String::new, |(_, time)| time.to_owned()),
            message: String::new(),
            fields: Vec::new(),
        }
    }

    fn take(&mut self, field: &Field, value: &str) {
        let (name, value) = match field.name() {
            "message" => {
                self.message = visible(value).into_owned();
                return;
            }
            // Whoever wants it asks `ps`.
            "ppid" => return,
            "workflow_id" => ("job".to_owned(), job(value).to_owned()),
            "executor_id" => match value
                .strip_prefix(self.host)
                .and_then(|rest| rest.strip_prefix('/'))
            {
                Some(slot) => ("slot".to_owned(), slot.to_owned()),
                None => ("executor_id".to_owned(), value.to_owned()),
            },
            name => match name.strip_suffix("_seconds") {
                Some(name) => (name.to_owned(), format!("{value}s")),
                None => (name.to_owned(), value.to_owned()),
            },
        };
        self.fields.push((name, plain(&value)));
    }

    fn width(&self) -> usize {
        let fields = self.fields.iter();
        // Two more for the blank before a field and the sign between its name and its value.
        let fields = fields.map(|(name, value)| 2 + name.chars().count() + value.chars().count());
        self.time.len() + " LEVEL ".len() + self.message.chars().count() + fields.sum::<usize>()
    }

    /// Leaves out the least useful fields until the line fits, and then cuts the longest value.
    fn fit(&mut self, columns: usize) {
        for dispensable in DISPENSABLE {
            if self.width() <= columns {
                return;
            }
            self.fields.retain(|(name, _)| name != dispensable);
        }
        let excess = self.width().saturating_sub(columns);
        let longest = self
            .fields
            .iter_mut()
            .max_by_key(|(_, value)| value.chars().count());
        if let Some((_, value)) = longest.filter(|_| excess > 0) {
            // One more makes room for the sign of the cut.
            let kept = value.chars().count().saturating_sub(excess + 1);
            *value = value.chars().take(kept).chain(['…']).collect();
        }
    }

    fn write(&self, writer: &mut impl Write, level: Level, styles: &Styles) -> fmt::Result {
        write!(
            writer,
            "{} {:<5} {}",
            self.time.style(styles.time),
            level.style(styles.level),
            self.message
        )?;
        for (name, value) in &self.fields {
            write!(writer, " {}{value}", format_args!("{name}=").style(styles.name))?;
        }
        writeln!(writer)
    }
}

impl Visit for Said<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        // Not by its debug form, which has quotes around it.
        self.take(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, &short(value));
    }
}

/// A number to the thousandth; a whole one needs no zeros.
fn short(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}

/// The end of an id that is made at random; an id that somebody chose stays whole.
fn job(id: &str) -> &str {
    let is_made = id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    id.rsplit('-').next().filter(|_| is_made).unwrap_or(id)
}

/// A value that is one word, written as it is.
fn plain(value: &str) -> String {
    let is_word = |letter: char| !letter.is_whitespace() && !letter.is_control() && letter != '"';
    if !value.is_empty() && value.chars().all(is_word) {
        visible(value).into_owned()
    } else {
        visible(&format!("{value:?}")).into_owned()
    }
}

/// The colours of a line; none where nobody wants any.
#[derive(Default)]
struct Styles {
    time: Style,
    level: Style,
    name: Style,
}

impl Styles {
    fn new(level: Level, has_colour: bool) -> Self {
        if !has_colour {
            return Self::default();
        }
        let plain = Style::new();
        Self {
            time: plain.dimmed(),
            name: plain.dimmed(),
            level: match level {
                Level::ERROR => plain.red().bold(),
                Level::WARN => plain.yellow(),
                Level::INFO => plain.green(),
                _ => plain.dimmed(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a217d1-417d-70f2-a1c0-d39bb6d5ffcb";

    fn said(message: &str, fields: &[(&str, &str)]) -> Said<'static> {
        Said {
            host: "laptop",
            time: "12:25:19Z".to_owned(),
            message: message.to_owned(),
            fields: fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), plain(value)))
                .collect(),
        }
    }

    fn line(said: &Said<'_>) -> String {
        let mut line = String::new();
        said.write(&mut line, Level::INFO, &Styles::default()).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    fn step() -> Said<'static> {
        let fields = [
            ("n", "10"),
            ("algorithm", "doubling"),
            ("pid", "25527"),
            ("step", "compute"),
            ("seconds", "0.012"),
            ("job", job(ID)),
        ];
        said("step done", &fields)
    }

    #[test]
    fn a_line_loses_what_says_least_until_it_fits() {
        let mut wide = step();
        wide.fit(120);
        assert_eq!(
            line(&wide),
            "12:25:19Z INFO  step done n=10 algorithm=doubling pid=25527 step=compute seconds=0.012 job=d39bb6d5ffcb"
        );
        let mut usual = step();
        usual.fit(100);
        assert_eq!(
            line(&usual),
            "12:25:19Z INFO  step done n=10 pid=25527 step=compute seconds=0.012 job=d39bb6d5ffcb"
        );
        let mut narrow = step();
        narrow.fit(60);
        assert_eq!(
            line(&narrow),
            "12:25:19Z INFO  step done n=10 step=compute seconds=0.012"
        );
    }

    #[test]
    fn the_longest_value_is_cut_when_nothing_can_be_left_out() {
        let mut started = said("ready", &[("database", "private PostgreSQL in /tmp/x")]);
        started.fit(40);
        assert_eq!(line(&started), "12:25:19Z INFO  ready database=\"private…");
    }

    #[test]
    fn a_width_is_that_of_the_line() {
        let step = step();
        assert_eq!(step.width(), line(&step).chars().count());
    }

    #[test]
    fn an_id_that_somebody_chose_stays_whole_and_harmless() {
        assert_eq!((job(ID), job("my-own-id")), ("d39bb6d5ffcb", "my-own-id"));
        assert_eq!(plain("a\u{1b}[2J"), r#""a\u{1b}[2J""#);
        assert_eq!(
            (plain("").as_str(), plain("two words").as_str()),
            ("\"\"", "\"two words\"")
        );
    }
}
