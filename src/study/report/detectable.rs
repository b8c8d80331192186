//! The smallest difference that a table's test can find, before anything runs.
//!
//! Without results it is known only in standard deviations of the differences. With results of at least one comparison it
//! is given in the measure too. Without results, the collections of a mean are assumed to have equal variances.

use std::fmt;
use xpipe_base::value::human;

use super::fill::evaluate_table;
use super::filled::at;
use super::{Results, layout, significance, units};
use xpipe_base::value::Value;
use xpipe_data::ir::power;
use xpipe_data::ir::strata::Size;
use xpipe_lang::graph::{self, CorrectionMethod, Graph, Table};

/// The chance of finding the difference that is told, as power is usually chosen.
const POWER: f64 = 0.8;

/// The smallest difference that the test of a table finds with a chance of 80 %.
#[derive(Clone, Debug, PartialEq)]
pub struct Detectable {
    /// The table's address.
    pub table: String,
    /// Its measure as the field prints it; may be empty.
    pub measure: String,
    /// The queries of the comparison that can find least.
    pub queries: usize,
    /// The effective sample size: several collections count less than as many queries of one.
    pub size: Size,
    /// Comparisons in the family.
    pub comparisons: usize,
    /// The level of the family.
    pub alpha: f64,
    /// Whether the level is divided by the number of comparisons, which is the worst case of Holm and Benjamini-Hochberg.
    pub divided: bool,
    /// The effect, in standard deviations of the differences.
    pub effect: f64,
    /// The standard deviation of the differences in the results there are: the median of the comparisons.
    pub sd: Option<f64>,
}

/// What the test of a table can find; `None` without a test, and as long as the number of queries is not known.
pub fn detectable(table: &Table, graph: &Graph, results: &dyn Results) -> Option<Detectable> {
    let spec = table.test.as_ref()?;
    let reference = significance::reference(spec, table).ok()?;
    let compared: Vec<_> = (0..table.rows.1.len())
        .flat_map(|r| (0..table.columns.1.len()).map(move |c| (r, c)))
        .filter(|(r, c)| reference(*r, *c) != (*r, *c))
        .filter_map(|(r, c)| at(&table.values, r, c))
        .collect();
    let filled = evaluate_table(table, graph, results).ok()?;
    let tests: Vec<_> = filled.cells.iter().flatten().filter_map(|c| c.test).collect();
    let least = |a: &(usize, Size), b: &(usize, Size)| a.1.n.total_cmp(&b.1.n);
    let tested = tests.iter().map(|t| (t.n, t.size)).min_by(least);
    let expected = || compared.iter().filter_map(|v| queries(v, graph, results)).min_by(least);
    let (queries, size) = tested.or_else(expected)?;
    let divided = spec.correct != CorrectionMethod::None;
    let level = if divided { spec.alpha / compared.len().max(1) as f64 } else { spec.alpha };
    let mut sds: Vec<f64> = tests.iter().map(|t| t.sd).collect();
    sds.sort_by(f64::total_cmp);
    Some(Detectable {
        table: graph::address(&table.name, &table.labels),
        measure: layout::measure(&table.measure),
        queries,
        size,
        comparisons: compared.len(),
        alpha: spec.alpha,
        divided,
        effect: power::detectable(size, POWER, level)?,
        sd: sds.get(sds.len() / 2).copied().filter(|sd| *sd > 0.0),
    })
}

/// The queries of a cell's collections, as judgements or evaluations recorded them, and what they tell; `None` when one
/// does not say.
fn queries(value: &Value, graph: &Graph, results: &dyn Results) -> Option<(usize, Size)> {
    let recorded = |id| results.facts(id)?.get("queries")?.as_u64();
    let mut collections = Vec::new();
    for (qrels, weight) in units::weights(value, graph)? {
        let Value::Artifact(id) = qrels else { return None };
        let evaluation = units::first_of(value, graph, qrels);
        let n = evaluation.and_then(recorded).or_else(|| recorded(*id))?;
        collections.push((weight, usize::try_from(n).ok()?));
    }
    let sum = collections.iter().map(|(_, n)| n).sum();
    Some((sum, Size::alike(collections.into_iter())?))
}

impl fmt::Display for Detectable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comparisons = if self.comparisons == 1 { "comparison" } else { "comparisons" };
        // A mean of collections tells less than as many queries of one.
        let alike = self.size.n.round().max(1.0) as u64;
        let worth = if alike == self.queries as u64 {
            String::new()
        } else {
            format!(" (with the weights of their collections worth {})", human::thousands(alike))
        };
        let find = if self.queries == 1 { "finds" } else { "find" };
        write!(
            f,
            "{}: {}{worth} {find} a difference of {} standard deviations with a chance of {:.0} %, in a t-test at {}",
            self.table,
            human::counted(self.queries, "queries"),
            layout::number(self.effect, 2),
            POWER * 100.0,
            self.alpha
        )?;
        if self.divided && self.comparisons > 1 {
            write!(f, " divided by {} {comparisons}", self.comparisons)?;
        }
        match self.sd {
            Some(sd) => {
                let measure = if self.measure.is_empty() { "the value" } else { &self.measure };
                let difference = layout::number(sd * self.effect, 3);
                write!(
                    f,
                    "; {difference} of {measure} at the deviation of cached results, {}",
                    layout::number(sd, 3)
                )
            }
            None => f.write_str("; the deviation is unknown until there are results"),
        }
    }
}
