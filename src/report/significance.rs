//! The test of a table: each cell against the reference in its row or column, adjusted over the whole table.
//!
//! Seeds are repeated measures of a query: they are averaged first, and a query counts once. So a test speaks of other
//! queries for the models that were trained, as the number in the cell does; a query a seed would count the same query
//! several times as if it were several. How much other seeds would change is what the table's spread says: two or three
//! seeds are too few to estimate that variance for a test (their t has one or two degrees of freedom).
//!
//! The family is every cell that could be tested; holes and cells whose queries cannot be told leave it. Which
//! differences are tested is decided here, how in [`crate::ir::significance`].

use rayon::prelude::*;

use super::Results;
use super::fill::{self, FilledCell};
use super::units::{self, Units};
use crate::graph::{Graph, Table, TestSpec};
use crate::ir::correction::Correction;
use crate::ir::power;
use crate::ir::significance::{self as tests, Differences, EXACT_LIMIT, Tested};
use crate::value::rng::Stream;

/// The comparison of a cell with the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellTest {
    /// Units compared: queries of collections.
    pub n: usize,
    /// Two-sided p-value.
    pub p: f64,
    /// Adjusted over the table.
    pub p_adjusted: f64,
    /// Mean over the units of this cell minus the reference.
    pub difference: f64,
    /// Standard deviation of the differences (n - 1).
    pub sd: f64,
    /// Cohen's d_z of the differences; `None` without variance.
    pub effect: Option<f64>,
    /// Hedges' g_z: d_z without its bias in small samples; `None` without variance or for two differences.
    pub hedges: Option<f64>,
    /// Confidence interval (1 - alpha) of d_z.
    pub effect_interval: Option<(f64, f64)>,
    /// Lower end of the confidence interval (1 - alpha) of the difference.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Whether the adjusted p-value is at most alpha.
    pub significant: bool,
}

/// What came of a table's test.
#[derive(Clone, Debug, PartialEq)]
pub enum TestOutcome {
    /// Cells were compared.
    Evaluated {
        /// How many: the size of the family.
        family: usize,
        /// The fewest and the most units of a comparison.
        units: (usize, usize),
        /// How many collections the units are from.
        collections: usize,
    },
    /// Nothing could be compared.
    NotEvaluated {
        /// Why, a lowercase fragment.
        reason: String,
    },
}

struct Comparison {
    row: usize,
    column: usize,
    differences: Vec<f64>,
}

/// Reasons, each with the cells it holds for.
#[derive(Default)]
struct Remarks(Vec<(String, Vec<String>)>);

impl Remarks {
    fn add(&mut self, why: String, cell: String) {
        match self.0.iter_mut().find(|(known, _)| *known == why) {
            Some((_, cells)) => cells.push(cell),
            None => self.0.push((why, vec![cell])),
        }
    }

    fn lines(&self) -> Vec<String> {
        self.0.iter().map(|(why, cells)| format!("{}: {why}", fill::listed(cells))).collect()
    }
}

/// Tests a table's cells and enters the results; returns the outcome, the legend of the sign, and remarks.
pub(super) fn run(
    spec: &TestSpec,
    table: &Table,
    graph: &Graph,
    results: &dyn Results,
    cells: &mut [Vec<FilledCell>],
) -> (TestOutcome, Option<String>, Vec<String>) {
    match compare(spec, table, graph, results, cells) {
        Ok((outcome, legend, remarks)) => (outcome, Some(legend), remarks),
        Err((reason, mut remarks)) => {
            remarks.insert(0, format!("the test against `{}` is not evaluated: {reason}", spec.against.1));
            (TestOutcome::NotEvaluated { reason }, None, remarks)
        }
    }
}

type Failed = (String, Vec<String>);

fn compare(
    spec: &TestSpec,
    table: &Table,
    graph: &Graph,
    results: &dyn Results,
    cells: &mut [Vec<FilledCell>],
) -> Result<(TestOutcome, String, Vec<String>), Failed> {
    let bare = |reason: String| (reason, Vec::new());
    let correction = Correction::parse(&spec.correct)
        .ok_or_else(|| bare(format!("there is no correction `{}`", spec.correct)))?;
    if !KINDS.iter().any(|(name, _)| *name == spec.kind) {
        return Err(bare(format!("there is no test `{}`", spec.kind)));
    }
    let reference = reference(spec, table).map_err(bare)?;
    let is_reference = |r: usize, c: usize| reference(r, c) == (r, c);

    let mut collections = Vec::new();
    let mut units: Vec<Vec<Option<Result<Units, String>>>> = Vec::new();
    for (r, row) in cells.iter_mut().enumerate() {
        let mut line = Vec::new();
        for (c, cell) in row.iter_mut().enumerate() {
            cell.reference = is_reference(r, c);
            let value = cell.number().and_then(|_| fill::at(&table.values, r, c));
            line.push(value.map(|v| units::units(v, graph, results, &mut collections)));
        }
        units.push(line);
    }

    let mut remarks = Remarks::default();
    let mut comparisons = Vec::new();
    for (r, row) in units.iter().enumerate() {
        for (c, own) in row.iter().enumerate() {
            let name = || format!("{}, {}", table.rows.1[r], table.columns.1[c]);
            // A hole has its own note.
            let Some(own) = own.as_ref().filter(|_| !is_reference(r, c)) else { continue };
            let (rr, rc) = reference(r, c);
            match differences(own, units[rr][rc].as_ref()) {
                Ok((differences, of)) => {
                    if differences.len() < of {
                        let why = format!("compared on {} of {of} queries, those in both", differences.len());
                        remarks.add(why, name());
                    }
                    comparisons.push(Comparison { row: r, column: c, differences });
                }
                Err(why) => remarks.add(format!("not tested: {why}"), name()),
            }
        }
    }

    let tested: Vec<Option<(Tested, Differences)>> =
        comparisons.par_iter().map(|c| test(spec, &c.differences)).collect();
    let ps: Vec<Option<f64>> = tested.iter().map(|t| t.map(|(t, _)| t.p)).collect();
    let adjusted = correction.adjust(&ps);
    let mut sizes: Option<(usize, usize)> = None;
    let mut family = 0;
    for ((comparison, tested), p_adjusted) in comparisons.iter().zip(&tested).zip(adjusted) {
        let (r, c) = (comparison.row, comparison.column);
        let (Some((tested, differences)), Some(p_adjusted)) = (tested, p_adjusted) else {
            let name = format!("{}, {}", table.rows.1[r], table.columns.1[c]);
            let why = format!(
                "not tested: {} queries to compare on, or a value that is no number",
                comparison.differences.len()
            );
            remarks.add(why, name);
            continue;
        };
        family += 1;
        let n = differences.n;
        sizes = Some(sizes.map_or((n, n), |(from, to)| (from.min(n), to.max(n))));
        cells[r][c].test = Some(CellTest {
            n,
            p: tested.p,
            p_adjusted,
            difference: differences.mean,
            sd: differences.sd,
            effect: differences.effect,
            hedges: differences.effect.and_then(|d| Some(d * power::hedges(n)?)),
            effect_interval: differences.effect.and_then(|d| power::interval(n, d, 1.0 - spec.alpha)),
            low: differences.interval.0,
            high: differences.interval.1,
            significant: p_adjusted <= spec.alpha,
        });
    }
    let Some(sizes) = sizes else {
        return Err(("no cell can be compared with it".into(), remarks.lines()));
    };
    let legend = legend(spec, family, sizes, collections.len());
    Ok((
        TestOutcome::Evaluated { family, units: sizes, collections: collections.len() },
        legend,
        remarks.lines(),
    ))
}

/// The place of the reference for a cell: in its row when the label is a column, in its column when it is a row.
pub(super) fn reference(
    spec: &TestSpec,
    table: &Table,
) -> Result<impl Fn(usize, usize) -> (usize, usize) + use<>, String> {
    let (axis, label) = &spec.against;
    let find = |labels: &[crate::value::Name]| {
        labels.iter().position(|l| l == label).ok_or_else(|| format!("`{label}` was cut away from `{axis}`"))
    };
    let (row, column) = if *axis == table.rows.0 {
        (Some(find(&table.rows.1)?), None)
    } else if *axis == table.columns.0 {
        (None, Some(find(&table.columns.1)?))
    } else {
        return Err(format!("`{axis}` is neither the rows nor the columns of the table"));
    };
    Ok(move |r, c| (row.unwrap_or(r), column.unwrap_or(c)))
}

/// Differences over the units of both, and how many units either has.
fn differences(
    own: &Result<Units, String>,
    reference: Option<&Result<Units, String>>,
) -> Result<(Vec<f64>, usize), String> {
    let own = own.as_ref().map_err(Clone::clone)?;
    let reference = reference
        .ok_or("its reference is missing")?
        .as_ref()
        .map_err(|why| format!("of its reference, {why}"))?;
    if own.member != reference.member {
        return Err(format!("its measure is `{}`, that of its reference `{}`", own.member, reference.member));
    }
    let both: Vec<f64> =
        own.values.iter().filter_map(|(unit, x)| reference.values.get(unit).map(|y| x - y)).collect();
    let of = own.values.len() + reference.values.len() - both.len();
    if both.is_empty() { Err("it shares no query with its reference".into()) } else { Ok((both, of)) }
}

const KINDS: [(&str, &str); 3] = [
    ("paired_t", "paired t-test"),
    ("randomisation", "paired randomisation test"),
    ("bootstrap", "paired bootstrap test"),
];

fn test(spec: &TestSpec, differences: &[f64]) -> Option<(Tested, Differences)> {
    let described = Differences::of(differences, 1.0 - spec.alpha)?;
    // One stream for all cells: a p-value does not depend on where in the table it stands, or what it is called.
    let stream = Stream::new(spec.seed, &[&spec.kind]);
    let tested = match spec.kind.as_str() {
        "randomisation" => tests::randomisation(differences, spec.draws, stream),
        "bootstrap" => tests::bootstrap(differences, spec.draws, stream),
        _ => tests::paired_t(differences),
    };
    Some((tested?, described))
}

fn legend(spec: &TestSpec, family: usize, units: (usize, usize), collections: usize) -> String {
    let kind = KINDS.iter().find(|(name, _)| *name == spec.kind).map_or("", |(_, words)| *words);
    let draws = match spec.kind.as_str() {
        "paired_t" => String::new(),
        "randomisation" if units.1 <= EXACT_LIMIT => ", exact".into(),
        _ => format!(", {} draws", super::layout::count(spec.draws)),
    };
    let correction = match spec.correct.as_str() {
        "none" => "not corrected for",
        "bonferroni" => "Bonferroni over",
        "holm" => "Holm over",
        _ => "Benjamini-Hochberg over",
    };
    let cells = if family == 1 { "cell" } else { "cells" };
    let n = if units.0 == units.1 { units.0.to_string() } else { format!("{} to {}", units.0, units.1) };
    let of = if collections > 1 { format!(" of {collections} collections") } else { String::new() };
    format!(
        "differs from `{}`: {kind} over queries{draws}, {correction} {family} {cells}, alpha {}, n = {n} queries{of}",
        spec.against.1, spec.alpha
    )
}
