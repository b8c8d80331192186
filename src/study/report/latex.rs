//! Tables as LaTeX with booktabs, as a paper prints them.

use super::filled::Filled;
use super::layout::{self, Style};
use xpipe_lang::graph;

const STYLE: Style = Style {
    escape,
    shown: |text| if text.starts_with('-') && text != "--" { format!("${text}$") } else { text },
    best: |text| format!("\\textbf{{{text}}}"),
    best_sign: "\\textbf{bold}:",
    differs: "$^{\\dagger}$",
    spread: "$\\pm$",
    hole: "--",
};

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
    let line = |cells: Vec<String>| format!("    {} \\\\\n", cells.join(" & "));
    out.push_str(&line(STYLE.header(table)));
    out.push_str("    \\midrule\n");
    STYLE.rows(table).for_each(|row| out.push_str(&line(row)));
    out.push_str("    \\bottomrule\n  \\end{tabular}\n");
    if !table.notes.is_empty() {
        let notes: Vec<String> = table.notes.iter().map(|n| format!("    {}.", STYLE.note(n))).collect();
        out.push_str(&format!("\n  \\smallskip\n  {{\\footnotesize\n{}\\par}}\n", notes.join("\n")));
    }
    out.push_str("\\end{table}\n");
    out
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
