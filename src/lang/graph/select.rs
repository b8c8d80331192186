//! Targets of a run: all named stages, or the cells that `--target` names.

use super::labels::same;
use super::model::{Cell, Graph, Row};
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::value::{ActionId, Name};

/// A target that names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownTarget {
    /// There is no such stage.
    #[error("there is no stage `{name}`{}", help.as_ref().map(|h| format!("; {h}")).unwrap_or_default())]
    Stage {
        /// The name that was asked for.
        name: String,
        /// Similar names.
        help: Option<String>,
    },
    /// The stage has no such cell.
    #[error("`{stage}` has no cell [{labels}]; its axes are {axes}")]
    Cell {
        /// The stage.
        stage: String,
        /// The labels asked for.
        labels: String,
        /// The axes it has.
        axes: String,
    },
}

/// The actions of all named stages, in order, without repeats.
pub fn all(graph: &Graph) -> Vec<ActionId> {
    let mut ids: Vec<ActionId> =
        graph.rows.iter().filter(|r| r.named).flat_map(|r| r.cells.iter().map(|c| c.action)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// A label as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The label.
    pub text: String,
    /// Whether it begins with a quote: then `_` is a label of that name, and `=` is part of the label.
    pub quoted: bool,
}

/// The labels of a list or an address. In quotes a comma belongs to the label, and `\\` escapes a quote or a `\\`, as
/// [`super::model::address`] writes them.
pub fn labels(list: &str) -> Vec<Label> {
    let mut labels = vec![Label { text: String::new(), quoted: false }];
    let mut quote = None;
    let mut chars = list.chars();
    while let Some(c) = chars.next() {
        if quote.is_none() && c == ',' {
            labels.push(Label { text: String::new(), quoted: false });
            continue;
        }
        let Some(last) = labels.last_mut() else { break };
        match (quote, c) {
            (None, '"' | '\'') => {
                quote = Some(c);
                last.quoted |= last.text.is_empty();
            }
            (Some(_), '\\') => last.text.extend(chars.next()),
            (Some(q), _) if q == c => quote = None,
            (None, _) if c.is_whitespace() && (last.quoted || last.text.is_empty()) => {}
            _ => last.text.push(c),
        }
    }
    for label in labels.iter_mut().filter(|l| !l.quoted) {
        label.text.truncate(label.text.trim_end().len());
    }
    labels
}

/// Whether a cell is the one that is asked for: `label, label` in the order of the axes (`_` for any), or
/// `axis = label` as the language writes it, where axes that are not named may have any label.
fn fits(asked: &[Label], row: &Row, cell: &Cell) -> bool {
    let named = |asked: &Label| {
        let (axis, label) = asked.text.split_once('=').filter(|_| !asked.quoted)?;
        Some((row.axes.iter().position(|a| **a == *axis.trim())?, label.trim_start().to_owned()))
    };
    let by_name: Vec<Option<(usize, String)>> = asked.iter().map(named).collect();
    if !by_name.is_empty() && by_name.iter().all(Option::is_some) {
        return by_name
            .iter()
            .flatten()
            .all(|(i, label)| cell.labels.get(*i).is_some_and(|l| same(l, label)));
    }
    let fits = |(a, b): (&Label, &Name)| (!a.quoted && a.text == "_") || same(&a.text, b);
    asked.len() == cell.labels.len() && asked.iter().zip(&cell.labels).all(fits)
}

/// The cells of a target `stage`, `stage[label, label]` (`_` for any label) or `stage[axis = label]`.
///
/// # Errors
/// When it names no cell.
pub fn target<'g>(graph: &'g Graph, text: &str) -> Result<(&'g Row, Vec<&'g Cell>), UnknownTarget> {
    let text = text.trim();
    let (name, labels) = match text.split_once('[') {
        Some((n, rest)) => {
            let inner = rest.trim_end().strip_suffix(']').unwrap_or(rest);
            (n.trim(), Some(self::labels(inner)))
        }
        None => (text, None),
    };
    let Some(row) = graph.rows.iter().find(|r| r.name == name) else {
        let help = did_you_mean(name, graph.rows.iter().map(|r| r.name.as_str()));
        return Err(UnknownTarget::Stage { name: name.to_owned(), help });
    };
    let cells: Vec<&Cell> =
        row.cells.iter().filter(|c| labels.as_ref().is_none_or(|l| fits(l, row, c))).collect();
    if cells.is_empty() {
        return Err(UnknownTarget::Cell {
            stage: name.to_owned(),
            labels: labels.unwrap_or_default().into_iter().map(|l| l.text).collect::<Vec<_>>().join(", "),
            axes: row.axes.join(", "),
        });
    }
    Ok((row, cells))
}

#[cfg(test)]
mod tests {
    use super::super::address;
    use super::{Label, labels};
    use xpipe_base::value::Name;

    #[test]
    fn what_an_address_writes_is_read_back() {
        let odd = [
            "plain",
            "c,d",
            "x\"y",
            "it's",
            "both \" and '",
            "back\\slash",
            "_",
            "1.5e-3",
            "a [b]",
            " ",
            "\\\"",
        ];
        for label in odd {
            let written = address("made", &[Name::from(label), Name::from("z")]);
            let inner = written.strip_prefix("made[").unwrap().strip_suffix(']').unwrap();
            let read = labels(inner);
            assert_eq!(
                (read[0].text.as_str(), read[1].text.as_str(), read.len()),
                (label, "z", 2),
                "{written}"
            );
        }
        assert!(labels(address("m", &[Name::from("_")]).strip_prefix("m[").unwrap())[0].quoted);
        let plain = |text: &str| Label { text: text.into(), quoted: false };
        assert_eq!(labels(" a b , ,c"), [plain("a b"), plain(""), plain("c")]);
    }
}
