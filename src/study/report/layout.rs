//! The words and numbers that all renderings share.

use super::filled::{Content, Filled, FilledCell, Note, Sign};
use xpipe_data::ir::metrics::Measure;
use xpipe_lang::graph;

/// A number with digits after the point, as papers print it; never `-0.000`.
pub(super) fn number(x: f64, digits: usize) -> String {
    let text = format!("{x:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_owned(),
        _ => text,
    }
}

/// The name of a measure as the field prints it: `nDCG@10` for `ndcg_10`; any other text as it is.
pub(super) fn measure(member: &str) -> String {
    Measure::from_member(member).map_or_else(|| member.to_owned(), |m| m.to_string())
}

/// The content of a cell, before its spread and signs; `hole` stands for nothing.
pub(super) fn content(cell: &FilledCell, digits: usize, hole: &str) -> String {
    match &cell.content {
        Content::Number(x) => number(*x, digits),
        Content::Whole(i) => i.to_string(),
        Content::Text(text) => text.clone(),
        Content::Hole(_) => hole.to_owned(),
    }
}

/// The published number beside a cell's own: `(0.629 ok)`.
pub(super) fn beside(cell: &FilledCell, digits: usize) -> Option<String> {
    let p = cell.published?;
    Some(format!("({} {})", number(p.value, digits), p.grade.word()))
}

/// How a markup language writes a table.
pub(super) struct Style {
    /// Escapes plain text.
    pub escape: fn(&str) -> String,
    /// Formats a number or word that is escaped already.
    pub shown: fn(String) -> String,
    /// Marks the best of a group.
    pub best: fn(&str) -> String,
    /// The mark of best cells, before its note.
    pub best_sign: &'static str,
    /// The sign of a significant difference.
    pub differs: &'static str,
    /// Between a value and its spread.
    pub spread: &'static str,
    /// The sign of a hole.
    pub hole: &'static str,
}

impl Style {
    /// The header of a table, cell by cell.
    pub(super) fn header(&self, table: &Filled) -> Vec<String> {
        std::iter::once(&table.rows.0).chain(&table.printed.1).map(|t| (self.escape)(t)).collect()
    }

    /// The rows of a table, cell by cell.
    pub(super) fn rows<'t>(&'t self, table: &'t Filled) -> impl Iterator<Item = Vec<String>> + 't {
        table.printed.0.iter().zip(&table.cells).map(|(row, cells)| {
            let first = std::iter::once((self.escape)(row));
            first.chain(cells.iter().map(|c| self.cell(c, table.digits))).collect()
        })
    }

    fn cell(&self, cell: &FilledCell, digits: usize) -> String {
        let mut text = (self.shown)((self.escape)(&content(cell, digits, "–")));
        if cell.best {
            text = (self.best)(&text);
        }
        if let Some(spread) = cell.spread {
            text.push_str(&format!(" {} {}", self.spread, number(spread, digits)));
        }
        if cell.test.is_some_and(|t| t.significant) {
            text.push_str(self.differs);
        }
        if let Some(published) = beside(cell, digits) {
            text.push(' ');
            text.push_str(&published);
        }
        text
    }

    /// A note below a table.
    pub(super) fn note(&self, note: &Note) -> String {
        let text = (self.escape)(&note.text);
        match note.sign {
            Sign::Best => format!("{} {text}", self.best_sign),
            Sign::Differs => format!("{} {text}", self.differs),
            Sign::Spread => format!("{} {text}", self.spread),
            Sign::Published => format!("() {text}"),
            Sign::Hole => format!("{} {text}", self.hole),
            Sign::Remark => text,
        }
    }
}

/// The title, with the measure when the title does not name it; the table's address where it has no title.
pub(super) fn title(table: &Filled) -> String {
    // A table without a title has its name for one, which does not tell its points apart.
    let untitled = table.title.is_empty() || table.title == table.name;
    let title = if untitled { graph::address(&table.name, &table.labels) } else { table.title.clone() };
    if table.measure.is_empty() || title.contains(&table.measure) {
        title
    } else {
        format!("{title} ({})", table.measure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_papers_print_them() {
        assert_eq!(number(0.5125, 3), "0.512");
        assert_eq!(number(-0.0001, 3), "0.000");
        assert_eq!(number(-0.0016, 3), "-0.002");
        assert_eq!(number(-0.4, 0), "0");
        assert_eq!(number(12.0, 1), "12.0");
    }
}
