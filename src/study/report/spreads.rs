//! The spread of the cells of a table, and the notes about it.

use super::Results;
use super::filled::{Note, Sign};
use super::missing::{self, Reason};
use xpipe_base::value::pending::Reduction;
use xpipe_base::value::{Name, Pending, Value};
use xpipe_lang::graph::Graph;

/// What is known of spreads while cells are filled.
#[derive(Default)]
pub(super) struct Spreads {
    any: bool,
    /// The reduction and its axes, as long as all spreads have the same.
    kind: Option<(Reduction, Vec<Name>)>,
    mixed: bool,
    /// The fewest and the most values of a spread.
    over: Option<(usize, usize)>,
    empty: bool,
    missing: Vec<String>,
}

impl Spreads {
    /// The spread of a cell; `None` where it is missing or over too few values.
    pub(super) fn value(
        &mut self,
        value: Option<&Value>,
        graph: &Graph,
        results: &dyn Results,
    ) -> Option<f64> {
        let found =
            value.ok_or(Reason::Cut(None)).and_then(|v| missing::value(v, results).map(|found| (v, found)));
        match found {
            Ok((declared, found)) => {
                let Some(x) = found.as_f64().filter(|x| x.is_finite()) else {
                    self.note_missing("it is not a number".into());
                    return None;
                };
                self.any = true;
                self.describe(declared);
                Some(x)
            }
            Err(Reason::Empty) => {
                self.empty = true;
                None
            }
            Err(reason) => {
                self.note_missing(reason.text(graph, results));
                None
            }
        }
    }

    fn note_missing(&mut self, why: String) {
        if !self.missing.contains(&why) {
            self.missing.push(why);
        }
    }

    fn describe(&mut self, declared: &Value) {
        let kind = match declared {
            Value::Pending(p) => match &**p {
                Pending::Reduce { how, cells } => {
                    let n = cells.len();
                    let (from, to) = self.over.unwrap_or((n, n));
                    self.over = Some((from.min(n), to.max(n)));
                    let axes = cells.first().map(|c| c.labels.iter().map(|(axis, _)| axis.clone()).collect());
                    axes.map(|axes| (*how, axes))
                }
                _ => None,
            },
            _ => None,
        };
        self.mixed |= kind.is_none() || self.kind.as_ref().is_some_and(|known| Some(known) != kind.as_ref());
        self.kind = kind;
    }

    /// What the spreads are, and why some are missing.
    pub(super) fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        if self.any {
            let text = match (&self.kind, self.mixed, self.over) {
                (Some((how, axes)), false, Some((from, to))) => {
                    let how = match how {
                        Reduction::Sd => "standard deviation (n - 1)",
                        Reduction::Mean => "mean",
                        Reduction::Min => "smallest",
                        Reduction::Max => "largest",
                        Reduction::All => "all",
                    };
                    let n = if from == to { from.to_string() } else { format!("{from} to {to}") };
                    format!("{how} over `{}`, n = {n}", axes.join("`, `"))
                }
                _ => "the declared spread".into(),
            };
            notes.push(Note::new(Sign::Spread, text));
        }
        if self.empty {
            let text = "a spread is left out where there are too few values for one";
            notes.push(Note::new(Sign::Remark, text));
        }
        notes.extend(
            self.missing.iter().map(|why| Note::new(Sign::Remark, format!("a spread is left out: {why}"))),
        );
        notes
    }
}
