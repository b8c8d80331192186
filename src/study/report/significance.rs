//! The test of a table: each cell against the reference in its row or column, adjusted over the whole table.
//!
//! Seeds are repeated measures of a query: they are averaged first, and a query counts once. So a test speaks of other
//! queries for the models that were trained, as the number in the cell does; a query a seed would count the same query
//! several times as if it were several. How much other seeds would change is what the table's spread says: two or three
//! seeds are too few to estimate that variance for a test (their t has one or two degrees of freedom).
//!
//! A mean of collections is tested as such ([`xpipe_data::ir::strata`]): the difference is that of the numbers in the cells.
//! Cells whose numbers are of other collections, other weights of them or other queries are not compared.
//!
//! The family is every cell that could be tested; holes and cells whose queries cannot be told leave it. Which
//! differences are tested is decided here, how in [`xpipe_data::ir::significance`].

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::Results;
use super::fill::{self, FilledCell};
use super::missing::address;
use super::units::{self, Units};
use xpipe_base::task::Failure;
use xpipe_base::value::rng::Stream;
use xpipe_base::value::{Name, Value};
use xpipe_data::ir::correction::Correction;
use xpipe_data::ir::significance::{self as tests, Differences, EXACT_LIMIT, Tested};
use xpipe_data::ir::strata::{Size, Strata, Stratum};
use xpipe_lang::graph::{Graph, Table, TestSpec};

/// The comparison of a cell with the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellTest {
    /// Units compared: queries of collections.
    pub n: usize,
    /// Two-sided p-value.
    pub p: f64,
    /// Adjusted over the table.
    pub p_adjusted: f64,
    /// This cell minus the reference.
    pub difference: f64,
    /// Standard deviation of the differences (n - 1), within collections.
    pub sd: f64,
    /// What the differences tell: of several collections less than as many of one.
    pub size: Size,
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
    strata: Strata,
    /// The number in the cell minus that in the reference's.
    shown: f64,
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
///
/// # Errors
/// A defect of ours: what was tested is not the difference of the numbers shown.
pub(super) fn run(
    spec: &TestSpec,
    table: &Table,
    graph: &Graph,
    results: &dyn Results,
    cells: &mut [Vec<FilledCell>],
) -> Result<(TestOutcome, Option<String>, Vec<String>), Failure> {
    match compare(spec, table, graph, results, cells) {
        Ok((outcome, legend, remarks)) => Ok((outcome, Some(legend), remarks)),
        Err(Stop::Reason(reason, mut remarks)) => {
            remarks.insert(0, format!("the test against `{}` is not evaluated: {reason}", spec.against.1));
            Ok((TestOutcome::NotEvaluated { reason }, None, remarks))
        }
        Err(Stop::Bug(failure)) => Err(failure),
    }
}

/// Why a table is not tested.
enum Stop {
    /// For a reason, with remarks about cells.
    Reason(String, Vec<String>),
    /// Because of a defect.
    Bug(Failure),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Reason(reason, Vec::new())
    }
}

/// Numbers that differ by less are equal: sums of the same numbers in another order.
fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

fn compare(
    spec: &TestSpec,
    table: &Table,
    graph: &Graph,
    results: &dyn Results,
    cells: &mut [Vec<FilledCell>],
) -> Result<(TestOutcome, String, Vec<String>), Stop> {
    let correction = Correction::parse(&spec.correct)
        .ok_or_else(|| format!("there is no correction `{}`", spec.correct))?;
    if !KINDS.iter().any(|(name, _)| *name == spec.kind) {
        return Err(format!("there is no test `{}`", spec.kind).into());
    }
    let reference = reference(spec, table)?;
    let is_reference = |r: usize, c: usize| reference(r, c) == (r, c);

    let mut collections = Vec::new();
    let mut units: Vec<Vec<Option<Result<Units, String>>>> = Vec::new();
    for (r, row) in cells.iter_mut().enumerate() {
        let mut line = Vec::new();
        for (c, cell) in row.iter_mut().enumerate() {
            cell.reference = is_reference(r, c);
            let number = cell.number();
            let value = number.zip(fill::at(&table.values, r, c));
            line.push(value.map(|(number, v)| told(number, v, graph, results, &mut collections)));
        }
        units.push(line);
    }

    let mut remarks = Remarks::default();
    let mut comparisons = Vec::new();
    let mut seeds = Seeds::default();
    for (r, row) in units.iter().enumerate() {
        for (c, own) in row.iter().enumerate() {
            let name = || format!("{}, {}", table.printed.0[r], table.printed.1[c]);
            // A hole has its own note.
            let Some(own) = own.as_ref().filter(|_| !is_reference(r, c)) else { continue };
            let (rr, rc) = reference(r, c);
            match differences(own, units[rr][rc].as_ref(), graph, &collections) {
                Ok(strata) => {
                    let numbers = cells[r][c].number().zip(cells[rr][rc].number());
                    let shown = numbers.map_or(f64::NAN, |(own, reference)| own - reference);
                    own.iter().chain(units[rr][rc].iter().flatten()).for_each(|u| seeds.add(u));
                    seeds.of(fill::at(&table.values, r, c));
                    comparisons.push(Comparison { row: r, column: c, strata, shown });
                }
                Err(why) => remarks.add(format!("not tested: {why}"), name()),
            }
        }
    }

    let tested: Vec<Option<(Tested, Differences)>> =
        comparisons.par_iter().map(|c| test(spec, &c.strata)).collect();
    let ps: Vec<Option<f64>> = tested.iter().map(|t| t.map(|(t, _)| t.p)).collect();
    let adjusted = correction.adjust(&ps);
    let mut sizes: Option<(usize, usize)> = None;
    let mut family = 0;
    for ((comparison, tested), p_adjusted) in comparisons.iter().zip(&tested).zip(adjusted) {
        let (r, c) = (comparison.row, comparison.column);
        let (Some((tested, differences)), Some(p_adjusted)) = (tested, p_adjusted) else {
            let name = format!("{}, {}", table.printed.0[r], table.printed.1[c]);
            let fewest = comparison.strata.strata().iter().map(|s| s.differences.len()).min().unwrap_or(0);
            let queries = if fewest == 1 { "query" } else { "queries" };
            let why = format!(
                "not tested: {fewest} {queries} of a collection to compare on, or a value that is no number"
            );
            remarks.add(why, name);
            continue;
        };
        if !same(differences.mean, comparison.shown) {
            return Err(Stop::Bug(Failure::bug(format!(
                "table `{}`, cell {}, {}: the difference tested is {}, that of the numbers shown {}",
                table.name, table.rows.1[r], table.columns.1[c], differences.mean, comparison.shown
            ))));
        }
        family += 1;
        let n = differences.n;
        sizes = Some(sizes.map_or((n, n), |(from, to)| (from.min(n), to.max(n))));
        cells[r][c].test = Some(CellTest {
            n,
            p: tested.p,
            p_adjusted,
            difference: differences.mean,
            sd: differences.sd,
            size: differences.size,
            effect: differences.effect,
            hedges: differences.hedges,
            effect_interval: differences.effect_interval,
            low: differences.interval.0,
            high: differences.interval.1,
            significant: p_adjusted <= spec.alpha,
        });
    }
    let Some(sizes) = sizes else {
        return Err(Stop::Reason("no cell can be compared with it".into(), remarks.lines()));
    };
    let of_means = comparisons.iter().any(|c| c.strata.strata().len() > 1);
    let legend = legend(spec, &called(spec, table), family, sizes, collections.len(), of_means);
    let mut lines = remarks.lines();
    lines.extend(seeds.remark(graph));
    Ok((TestOutcome::Evaluated { family, units: sizes, collections: collections.len() }, legend, lines))
}

/// The units of a cell, which must give its number.
fn told(
    number: f64,
    value: &Value,
    graph: &Graph,
    results: &dyn Results,
    collections: &mut Vec<Value>,
) -> Result<Units, String> {
    let units = units::units(value, graph, results, collections)?;
    let mean = units.mean();
    if same(mean, number) {
        Ok(units)
    } else {
        Err(format!("its number is {number}, but the values of its queries give {mean}"))
    }
}

/// What a test is silent about: other seeds.
#[derive(Default)]
struct Seeds {
    averaged: BTreeSet<Name>,
    /// The fewest and the most evaluations that a query's value is a mean of.
    runs: Option<(usize, usize)>,
    evaluations: BTreeSet<xpipe_base::value::ActionId>,
}

impl Seeds {
    fn add(&mut self, units: &Units) {
        self.averaged.extend(units.averaged.iter().cloned());
        if !units.averaged.is_empty() {
            let n = units.runs;
            self.runs = Some(self.runs.map_or((n, n), |(from, to)| (from.min(n), to.max(n))));
        }
    }

    fn of(&mut self, value: Option<&Value>) {
        self.evaluations.extend(value.map(units::evaluations).unwrap_or_default());
    }

    fn remark(&self, graph: &Graph) -> Option<String> {
        if let Some((from, to)) = self.runs {
            let axes: Vec<String> = self.averaged.iter().map(|axis| format!("`{axis}`")).collect();
            let axes = axes.join(" and ");
            let n = if from == to { from.to_string() } else { format!("{from} to {to}") };
            return Some(format!(
                "tested over queries: the values of each query are means over {axes} (n = {n}), whose variation is no \
                 part of the test"
            ));
        }
        let mut trained = vec![false; graph.actions.len()];
        for (i, action) in graph.actions.iter().enumerate() {
            let of = |id: &xpipe_base::value::ActionId| trained.get(id.0 as usize).copied().unwrap_or(false);
            trained[i] = action.op.starts_with("train.") || action.deps.iter().any(of);
        }
        let of_trained = self.evaluations.iter().any(|id| trained.get(id.0 as usize) == Some(&true));
        of_trained.then(|| {
            "tested over queries: each trained model is of one seed, and how much another seed would change is no \
             part of the test"
                .to_owned()
        })
    }
}

/// The place of the reference for a cell: in its row when the label is a column, in its column when it is a row.
pub(super) fn reference(
    spec: &TestSpec,
    table: &Table,
) -> Result<impl Fn(usize, usize) -> (usize, usize) + use<>, String> {
    let (axis, label) = &spec.against;
    let find = |labels: &[xpipe_base::value::Name]| {
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

/// Differences over the units of both, by collection.
fn differences(
    own: &Result<Units, String>,
    reference: Option<&Result<Units, String>>,
    graph: &Graph,
    collections: &[Value],
) -> Result<Strata, String> {
    let own = own.as_ref().map_err(Clone::clone)?;
    let reference = reference
        .ok_or("its reference is missing")?
        .as_ref()
        .map_err(|why| format!("of its reference, {why}"))?;
    if own.member != reference.member {
        return Err(format!("its measure is `{}`, that of its reference `{}`", own.member, reference.member));
    }
    let called = |number: &usize| match collections.get(*number) {
        Some(Value::Artifact(id)) => format!("`{}`", address(graph, *id)),
        _ => "its qrels".to_owned(),
    };
    if own.collections.keys().ne(reference.collections.keys()) {
        let of = |units: &Units| units.collections.keys().map(called).collect::<Vec<_>>().join(" and ");
        return Err(format!("it is measured with {}, its reference with {}", of(own), of(reference)));
    }
    let mut strata = Vec::new();
    for (number, (a, b)) in
        own.collections.iter().map(|(number, a)| (number, (a, &reference.collections[number])))
    {
        if (a.weight - b.weight).abs() > 1e-12 {
            return Err(format!(
                "{} has a weight of {} in its mean, and of {} in that of its reference",
                called(number),
                super::layout::number(a.weight, 4),
                super::layout::number(b.weight, 4)
            ));
        }
        if a.values.keys().ne(b.values.keys()) {
            let both = a.values.keys().filter(|q| b.values.contains_key(*q)).count();
            return Err(format!(
                "of {} it is measured on {} queries and its reference on {}, with {both} in both",
                called(number),
                a.values.len(),
                b.values.len()
            ));
        }
        let differences = a.values.values().zip(b.values.values()).map(|(x, y)| x - y).collect();
        strata.push(Stratum { weight: a.weight, differences });
    }
    Ok(Strata::new(strata))
}

const KINDS: [(&str, &str); 3] = [
    ("paired_t", "paired t-test"),
    ("randomisation", "paired randomisation test"),
    ("bootstrap", "paired bootstrap test"),
];

fn test(spec: &TestSpec, strata: &Strata) -> Option<(Tested, Differences)> {
    let described = Differences::of(strata, 1.0 - spec.alpha)?;
    // One stream for all cells: a p-value does not depend on where in the table it stands, or what it is called.
    let stream = Stream::new(spec.seed, &[&spec.kind]);
    let tested = match spec.kind.as_str() {
        "randomisation" => tests::randomisation(strata, spec.draws, stream),
        "bootstrap" => tests::bootstrap(strata, spec.draws, stream),
        _ => tests::paired_t(strata),
    };
    Some((tested?, described))
}

/// What the reference is called where people read it.
fn called(spec: &TestSpec, table: &Table) -> Name {
    let (axis, label) = &spec.against;
    let (labels, printed) = if *axis == table.rows.0 {
        (&table.rows.1, &table.printed.0)
    } else {
        (&table.columns.1, &table.printed.1)
    };
    let at = labels.iter().position(|l| l == label);
    at.and_then(|i| printed.get(i)).unwrap_or(label).clone()
}

fn legend(
    spec: &TestSpec,
    against: &str,
    family: usize,
    units: (usize, usize),
    collections: usize,
    of_means: bool,
) -> String {
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
    let mut of = if collections > 1 { format!(" of {collections} collections") } else { String::new() };
    if of_means {
        of.push_str(", each collection with its weight in the mean");
    }
    format!(
        "differs from `{against}`: {kind} over queries{draws}, {correction} {family} {cells}, alpha {}, n = {n} queries{of}",
        spec.alpha
    )
}
