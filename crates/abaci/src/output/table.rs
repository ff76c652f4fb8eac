//! Columns that line up.

use comfy_table::{ContentArrangement, Table as Grid, presets};

use super::text::cut;
use super::{Paint, visible};

/// The narrowest that a column becomes to make the others fit.
const NARROWEST_COLUMN: usize = 4;

/// A table of text: a bold header, columns as wide as their widest cell, no lines, no blanks at the ends.
pub(crate) struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    wrapped_at: Option<usize>,
}

impl Table {
    pub(crate) fn new(headers: impl Into<Vec<&'static str>>) -> Self {
        Self {
            headers: headers.into(),
            rows: Vec::new(),
            wrapped_at: None,
        }
    }

    /// Adds a row, with as many cells as there are headers.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<String>>) {
        // Here already, or a hidden character would count for the widths.
        let cells = cells.into();
        self.rows
            .push(cells.iter().map(|cell| visible(cell).into_owned()).collect());
    }

    /// Breaks the text of cells, where the table is wider than this many columns otherwise.
    pub(crate) fn wrap(&mut self, columns: usize) {
        self.wrapped_at = Some(columns);
    }

    /// Prints the table, its header in bold.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        self.drawn().into_iter().try_for_each(super::line)
    }

    /// Prints the rows alone, below a table whose columns are as wide as `widths`; a cell that is wider moves what is right
    /// of it.
    pub(crate) fn print_on(&self, widths: &[usize]) -> anyhow::Result<()> {
        self.lines_on(widths).try_for_each(super::line)
    }

    fn lines_on(&self, widths: &[usize]) -> impl Iterator<Item = String> {
        self.rows.iter().map(move |row| {
            let cells = row.iter().zip(widths);
            let line: Vec<String> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
            line.join("  ").trim_end().to_owned()
        })
    }

    /// The table's lines, the header in bold.
    pub(crate) fn drawn(&self) -> Vec<String> {
        with_bold_header(self.lines())
    }

    /// Makes the table fit into so many columns of a terminal.
    ///
    /// The `dispensable` columns are left out one by one, the first of them first, for as long as a line is too long; then
    /// the widest column that is left is cut.
    pub(crate) fn fit(&mut self, width: usize, dispensable: &[&str]) {
        let mut dispensable = dispensable.iter();
        while self.width() > width {
            let Some(header) = dispensable.next() else {
                return self.cut_widest(self.width() - width);
            };
            if let Some(column) = self.headers.iter().position(|found| found == header) {
                self.headers.remove(column);
                self.rows.iter_mut().for_each(|row| drop(row.remove(column)));
            }
        }
    }

    /// The header and the rows, without any colour.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.grid()
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    fn grid(&self) -> Grid {
        let mut grid = Grid::new();
        grid.load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(self.headers.clone())
            .add_rows(self.rows.clone());
        if let Some(columns) = self.wrapped_at {
            // Without the two blanks that end each line until it is printed.
            grid.set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(u16::try_from(columns + 2).unwrap_or(u16::MAX));
        }
        // Two blanks between columns, none before the first.
        for column in grid.column_iter_mut() {
            column.set_padding((0, 2));
        }
        grid
    }

    /// The width of each column, its header included.
    pub(crate) fn column_widths(&self) -> Vec<usize> {
        let widths = self.grid().column_max_content_widths();
        widths.into_iter().map(usize::from).collect()
    }

    fn width(&self) -> usize {
        let widths = self.column_widths();
        widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
    }

    fn cut_widest(&mut self, excess: usize) {
        let widths = self.column_widths();
        let Some((column, width)) = widths.into_iter().enumerate().max_by_key(|(_, width)| *width) else {
            return;
        };
        let width = width.saturating_sub(excess).max(NARROWEST_COLUMN);
        // Each row has a cell for every header, so the column is there.
        for row in &mut self.rows {
            row[column] = cut(&row[column], width);
        }
    }
}

/// Makes the first of some lines bold.
pub(crate) fn with_bold_header(mut lines: Vec<String>) -> Vec<String> {
    if let Some(header) = lines.first_mut() {
        *header = header.bold().to_string();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["ID", "STATE", "AGE", "JOB"]);
        let row = ["17", "ok", "3s", "F(46) compute 21 %"];
        table.row(row.map(str::to_owned));
        table
    }

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let mut table = Table::new(["ID", "STATE"]);
        table.row(["a-long-id".to_owned(), "ok".to_owned()]);
        assert_eq!(table.lines(), ["ID         STATE", "a-long-id  ok"]);
    }

    #[test]
    fn rows_that_come_later_stand_below_those_before() {
        let (first, mut later) = (table(), table());
        later.row([
            "1".to_owned(),
            "parked".to_owned(),
            "3s".to_owned(),
            "-".to_owned(),
        ]);
        let lines: Vec<String> = later.lines_on(&first.column_widths()).collect();
        assert_eq!(lines[0], first.lines()[1]);
        assert_eq!(
            lines[1], "1   parked  3s   -",
            "a wider cell moves what is right of it"
        );
    }

    #[test]
    fn a_cell_breaks_no_line_and_hides_no_width() {
        let mut table = Table::new(["ID", "STATE"]);
        table.row(["x\u{1b}[2J\ny".to_owned(), "ok".to_owned()]);
        assert_eq!(table.lines(), [r"ID             STATE", r"x\u{1b}[2J\ny  ok"]);
    }

    #[test]
    fn a_table_that_is_to_wrap_breaks_between_words() {
        let mut table = Table::new(["ID", "QUESTION"]);
        table.row(["ex1".to_owned(), "what is left of it".to_owned()]);
        table.wrap(16);
        assert_eq!(
            table.lines(),
            ["ID   QUESTION", "ex1  what is", "     left of it"]
        );
    }

    #[test]
    fn a_table_that_fits_keeps_all_its_columns() {
        let (mut fitted, whole) = (table(), table().lines());
        fitted.fit(34, &["AGE"]);
        assert_eq!(fitted.lines(), whole);
    }

    #[test]
    fn what_can_be_spared_goes_first_and_then_the_widest_is_cut() {
        let mut narrow = table();
        narrow.fit(33, &["AGE", "ID"]);
        assert_eq!(
            narrow.lines(),
            ["ID  STATE  JOB", "17  ok     F(46) compute 21 %"]
        );
        let mut narrower = table();
        narrower.fit(20, &["AGE", "ID"]);
        assert_eq!(narrower.lines(), ["STATE  JOB", "ok     F(46) comput…"]);
    }
}
