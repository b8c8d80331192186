//! Tables as LaTeX with booktabs, as a paper prints them.

use super::fill::{Filled, FilledCell, Sign};
use super::layout;
use crate::graph;

/// A `table` environment; the document needs `\usepackage{booktabs}`.
pub fn table(table: &Filled) -> String {
    let mut out = String::from("% needs \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n");
    let label: String = graph::address(&table.name, &table.labels)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    out.push_str(&format!("  \\caption{{{}}}\n", escape(&layout::title(table))));
    out.push_str(&format!("  \\label{{tab:{}}}\n", label.trim_end_matches('-')));
    out.push_str(&format!("  \\begin{{tabular}}{{l{}}}\n    \\toprule\n", "r".repeat(table.columns.1.len())));
    let header = std::iter::once(&table.rows.0).chain(&table.columns.1).map(|t| escape(t));
    out.push_str(&format!("    {} \\\\\n    \\midrule\n", header.collect::<Vec<_>>().join(" & ")));
    for (row, cells) in table.rows.1.iter().zip(&table.cells) {
        let line = std::iter::once(escape(row)).chain(cells.iter().map(|c| cell(c, table.digits)));
        out.push_str(&format!("    {} \\\\\n", line.collect::<Vec<_>>().join(" & ")));
    }
    out.push_str("    \\bottomrule\n  \\end{tabular}\n");
    if !table.notes.is_empty() {
        let notes: Vec<String> = table
            .notes
            .iter()
            .map(|note| {
                let sign = match note.sign {
                    Sign::Best => "\\textbf{bold}: ",
                    Sign::Differs => "$^{\\dagger}$ ",
                    Sign::Spread => "$\\pm$ ",
                    Sign::Hole => "-- ",
                    Sign::Remark => "",
                };
                format!("    {sign}{}.", escape(&note.text))
            })
            .collect();
        out.push_str(&format!("\n  \\smallskip\n  {{\\footnotesize\n{}\\par}}\n", notes.join("\n")));
    }
    out.push_str("\\end{table}\n");
    out
}

fn cell(cell: &FilledCell, digits: usize) -> String {
    let mut text = escape(&layout::content(cell, digits, "–"));
    if text.starts_with('-') && text != "--" {
        text = format!("${text}$");
    }
    if cell.best {
        text = format!("\\textbf{{{text}}}");
    }
    if let Some(spread) = cell.spread {
        text.push_str(&format!(" $\\pm$ {}", layout::number(spread, digits)));
    }
    if cell.test.is_some_and(|t| t.significant) {
        text.push_str("$^{\\dagger}$");
    }
    text
}

/// Text with TeX's special characters written out; the code marks of our notes become `\texttt`.
fn escape(text: &str) -> String {
    let mut out = String::new();
    let mut code = false;
    for c in text.chars() {
        match c {
            '`' => {
                out.push_str(if code { "}" } else { "\\texttt{" });
                code = !code;
            }
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '–' => out.push_str("--"),
            '±' => out.push_str("$\\pm$"),
            '…' => out.push_str("\\ldots{}"),
            '\n' | '\r' => out.push(' '),
            _ => out.push(c),
        }
    }
    if code {
        out.push('}');
    }
    out
}
