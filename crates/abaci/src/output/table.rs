//! Columns that line up.

use comfy_table::{ContentArrangement, Table as Grid, presets};
use owo_colors::OwoColorize;

/// A table of text: a bold header, columns as wide as their widest cell, no lines, no blanks at the ends.
pub(crate) struct Table(Grid);

impl Table {
    pub(crate) fn new(headers: impl Into<Vec<&'static str>>) -> Self {
        let mut grid = Grid::new();
        grid.load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(headers.into());
        // Two blanks between columns, none before the first.
        for column in grid.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self(grid)
    }

    /// Adds a row, with as many cells as there are headers.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<String>>) {
        self.0.add_row(cells.into());
    }

    /// Breaks the text of cells, where the table is wider than this many columns otherwise.
    pub(crate) fn fit(&mut self, columns: usize) {
        // Without the two blanks that end each line until it is printed.
        self.0
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(u16::try_from(columns + 2).unwrap_or(u16::MAX));
    }

    /// Prints the table, its header in bold.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        self.drawn().into_iter().try_for_each(super::line)
    }

    /// The table's lines, the header in bold.
    pub(crate) fn drawn(&self) -> Vec<String> {
        let mut lines = self.lines();
        if let Some(header) = lines.first_mut() {
            *header = header.bold().to_string();
        }
        lines
    }

    fn lines(&self) -> Vec<String> {
        self.0.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let mut table = Table::new(["ID", "STATE"]);
        table.row(["a-long-id".to_owned(), "ok".to_owned()]);
        assert_eq!(table.lines(), ["ID         STATE", "a-long-id  ok"]);
    }

    #[test]
    fn a_table_that_is_to_fit_breaks_between_words() {
        let mut table = Table::new(["ID", "QUESTION"]);
        table.row(["ex1".to_owned(), "what is left of it".to_owned()]);
        table.fit(16);
        assert_eq!(
            table.lines(),
            ["ID   QUESTION", "ex1  what is", "     left of it"]
        );
    }
}
