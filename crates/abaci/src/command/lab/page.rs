//! An experiment as people read it: lines that fit their terminal, the broken form in red and the right one in green.
//!
//! The words say it too, so that nothing is lost without colour. What goes to a file has lines for a hundred columns, but
//! for the trace, whose lines are whole there, to be searched.

use abaci_lab::{Case, Experiment, Report, Trace};
use comfy_table::{ContentArrangement, Table as Grid, presets};

use crate::output::{self, Paint, Table};

/// The width of lines that go to no terminal, in characters.
const FILE_WIDTH: usize = 100;

/// The least width that is used; a terminal that has less breaks the lines by itself.
const LEAST_WIDTH: usize = 60;

/// The greatest width of a paragraph: longer lines are tiring to read.
const PARAGRAPH_WIDTH: usize = 100;

/// The least width of a table of cases; below, there is a paragraph for each.
const TABLE_WIDTH: usize = 90;

/// A page on stdout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    /// The width of the terminal, if there is one.
    columns: Option<usize>,
}

impl Page {
    pub(super) fn of_stdout() -> Self {
        Self {
            columns: output::columns(),
        }
    }

    fn width(self) -> usize {
        self.columns.unwrap_or(FILE_WIDTH).max(LEAST_WIDTH)
    }

    /// Prints what experiments there are.
    pub(super) fn list(self, experiments: &[Experiment]) -> anyhow::Result<()> {
        let mut table = Table::new(["NAME", "TITLE", "QUESTION"]);
        for experiment in experiments {
            table.row([experiment.name, experiment.title, experiment.question].map(str::to_owned));
        }
        if self.columns.is_some() {
            table.wrap(self.width());
        }
        table.print()
    }

    /// Prints what an experiment is about.
    pub(super) fn introduce(self, experiment: &Experiment, seed: u64) -> anyhow::Result<()> {
        let title = format!("{}: {}", experiment.name, experiment.title);
        output::line(title.bold())?;
        output::line("")?;
        self.print_paragraph("Question", experiment.question)?;
        self.print_paragraph("Method", experiment.method)?;
        self.print_paragraph("Seed", &seed.to_string())?;
        output::line("")
    }

    /// Prints what has happened just now; a reader that left learns so from the next line of data.
    pub(super) fn tell(self, trace: &Trace) {
        let lines = match self.columns {
            Some(_) => output::labelled(&process(trace), &in_words(trace), self.width()),
            None => vec![line(trace)],
        };
        let _ = lines.iter().try_for_each(output::line);
    }

    /// Prints what came of an experiment.
    pub(super) fn conclude(self, report: &Report) -> anyhow::Result<()> {
        output::line("")?;
        if self.width() < TABLE_WIDTH {
            report.cases.iter().try_for_each(|case| self.print_case(case))?;
        } else {
            let table = table(&report.cases, self.width());
            table.iter().try_for_each(output::line)?;
            output::line("")?;
        }
        self.print_paragraph("Pattern", &report.pattern)?;
        let verdict = verdict(report);
        let text = format!("{verdict}: {} ({:.1} s)", report.claim, report.seconds);
        for line in self.paragraph("Verdict", &text) {
            output::line(line.replacen(verdict, &painted_verdict(report), 1))?;
        }
        output::line("")
    }

    /// Prints one case as paragraphs.
    fn print_case(self, case: &Case) -> anyhow::Result<()> {
        for line in self.paragraph(&case.form, &case.case) {
            // The first is the label; the words of the case may have it, too.
            output::line(line.replacen(&case.form, &painted(&case.form, &case.form), 1))?;
        }
        self.print_paragraph("expected", &case.expected)?;
        self.print_paragraph("happened", &case.happened)?;
        self.print_paragraph("why", &case.why)?;
        output::line("")
    }

    fn print_paragraph(self, label: &str, text: &str) -> anyhow::Result<()> {
        self.paragraph(label, text).iter().try_for_each(output::line)
    }

    /// Returns the lines of a text, with what it is about on its left.
    fn paragraph(self, label: &str, text: &str) -> Vec<String> {
        // A line ends a column before the edge.
        let width = self.width().min(PARAGRAPH_WIDTH) - 1;
        output::labelled(&format!(" {label:<8}  "), text, width)
    }
}

/// Returns what has happened, on one line.
pub(super) fn line(trace: &Trace) -> String {
    process(trace) + &in_words(trace)
}

/// The process that something has happened in, as the line of the trace begins.
fn process(trace: &Trace) -> String {
    let form = painted(&trace.form, &format!("{:<7}", trace.form));
    format!("  pid {:<8} {form} ", trace.pid)
}

fn in_words(trace: &Trace) -> String {
    let details = trace.details.iter().map(|(name, value)| match value.as_str() {
        Some(text) => format!(" {name}={text}"),
        None => format!(" {name}={value}"),
    });
    trace.event.clone() + &details.collect::<String>()
}

/// Returns the word for the outcome of an experiment.
fn verdict(report: &Report) -> &'static str {
    if report.observed {
        "OBSERVED"
    } else {
        "NOT OBSERVED"
    }
}

/// Returns the word for the outcome of an experiment, in its colour.
pub(super) fn painted_verdict(report: &Report) -> String {
    let form = if report.observed { "right" } else { "broken" };
    painted(form, verdict(report))
}

/// A text in the colour of a form.
fn painted(form: &str, text: &str) -> String {
    match form {
        "broken" => text.red().to_string(),
        _ => text.green().to_string(),
    }
}

/// The cases side by side; no line ends with blanks.
fn table(cases: &[Case], width: usize) -> Vec<String> {
    let mut grid = Grid::new();
    grid.load_preset(presets::ASCII_BORDERS_ONLY_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(width).unwrap_or(u16::MAX))
        .set_header(["FORM", "CASE", "YOU MIGHT EXPECT", "WHAT HAPPENED", "WHY"]);
    for case in cases {
        grid.add_row([&case.form, &case.case, &case.expected, &case.happened, &case.why]);
    }
    let lines = grid.lines();
    // The layout counts characters, so colours come after it; the form is the first cell.
    let paint = |line: String| {
        let forms = ["| broken ", "| right "];
        let form = forms.into_iter().find(|form| line.starts_with(form));
        let form = form.map(|form| form.trim_matches(['|', ' ']));
        form.map_or_else(
            || line.clone(),
            |form| line.replacen(form, &painted(form, form), 1),
        )
    };
    lines.map(paint).collect()
}
