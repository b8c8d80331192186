//! The test of a table: each cell against the reference in its row or column, corrected over the whole table.
//!
//! Seeds are repeated measurements of a query: they are averaged first, and a query counts once. So a test generalises to
//! other queries for the trained models, as the number in the cell does. Treating each (query, seed) as a unit would count
//! correlated measurements as independent. How much other seeds would change is what the table's spread says: two or
//! three seeds are too few to estimate that variance for a test (their t has one or two degrees of freedom).
//!
//! A mean over collections is tested as such ([`xpipe_data::ir::strata`]): the difference is that of the numbers in the cells.
//! Cells are not compared when their numbers are of different collections, weights or queries.
//!
//! The family is every cell that could be tested; holes and cells whose queries are unknown leave it. This module decides
//! which differences are tested, [`xpipe_data::ir::significance`] how.

mod differences;
mod legend;
mod seeds;

use rayon::prelude::*;

use super::Results;
use super::filled::{CellTest, FilledCell, TestOutcome, at, listed};
use super::units::{self, Units};
use differences::differences;
use legend::legend;
use seeds::Seeds;
use xpipe_base::task::Failure;
use xpipe_base::value::rng::Stream;
use xpipe_base::value::{Name, Value};
use xpipe_data::ir::correction::Correction;
use xpipe_data::ir::significance::{self as tests, Differences, Tested};
use xpipe_data::ir::strata::Strata;
use xpipe_lang::graph::{CorrectionMethod, Graph, Table, TestKind, TestSpec};

/// A cell and its reference, ready for the test.
struct Comparison {
    row: usize,
    column: usize,
    strata: Strata,
    /// The number in the cell minus that in the reference.
    shown: f64,
}

/// Reasons, each with the cells that it holds for.
#[derive(Default)]
struct Reasons(Vec<(String, Vec<String>)>);

impl Reasons {
    fn add(&mut self, why: String, cell: String) {
        match self.0.iter_mut().find(|(known, _)| *known == why) {
            Some((_, cells)) => cells.push(cell),
            None => self.0.push((why, vec![cell])),
        }
    }

    fn lines(&self) -> Vec<String> {
        self.0.iter().map(|(why, cells)| format!("{}: {why}", listed(cells))).collect()
    }
}

/// What the test of a table came to.
pub(super) struct TableTest {
    /// Its outcome.
    pub(super) outcome: TestOutcome,
    /// The explanation of the sign; `None` when nothing was tested.
    pub(super) legend: Option<String>,
    /// Remarks about cells that were not tested, and about seeds.
    pub(super) remarks: Vec<String>,
}

/// Tests a table's cells and enters the results into them.
///
/// # Errors
/// A defect of xpipe: what was tested is not the difference of the numbers shown.
pub(super) fn run(
    spec: &TestSpec,
    table: &Table,
    graph: &Graph,
    results: &dyn Results,
    cells: &mut [Vec<FilledCell>],
) -> Result<TableTest, Failure> {
    let mut reasons = Reasons::default();
    match compare(spec, table, graph, results, cells, &mut reasons) {
        Ok(test) => Ok(test),
        Err(NotTested::Because(reason)) => {
            let not_evaluated = format!("the test against `{}` is not evaluated: {reason}", spec.against.1);
            let remarks = std::iter::once(not_evaluated).chain(reasons.lines()).collect();
            Ok(TableTest { outcome: TestOutcome::NotEvaluated { reason }, legend: None, remarks })
        }
        Err(NotTested::Bug(failure)) => Err(failure),
    }
}

/// Why a table is not tested.
enum NotTested {
    /// A reason that people are told.
    Because(String),
    /// A defect.
    Bug(Failure),
}

impl From<String> for NotTested {
    fn from(reason: String) -> Self {
        Self::Because(reason)
    }
}

/// Numbers that differ by less are equal: sums of the same numbers in another order.
fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

/// The units of a table's cells; `None` for cells without a number.
type AllUnits = Vec<Vec<Option<Result<Units, String>>>>;

fn compare(
    spec: &TestSpec,
    table: &Table,
    graph: &Graph,
    results: &dyn Results,
    cells: &mut [Vec<FilledCell>],
    reasons: &mut Reasons,
) -> Result<TableTest, NotTested> {
    let reference = reference(spec, table)?;
    let mut collections = Vec::new();
    let mut units: AllUnits = Vec::new();
    for (r, row) in cells.iter_mut().enumerate() {
        let mut line = Vec::new();
        for (c, cell) in row.iter_mut().enumerate() {
            cell.reference = reference(r, c) == (r, c);
            let value = cell.number().zip(at(&table.values, r, c));
            line.push(value.map(|(number, v)| units_of(number, v, graph, results, &mut collections)));
        }
        units.push(line);
    }

    let mut comparisons = Vec::new();
    let mut seeds = Seeds::default();
    for (r, row) in units.iter().enumerate() {
        for (c, own) in row.iter().enumerate() {
            let (rr, rc) = reference(r, c);
            // A hole has its own note.
            let Some(own) = own.as_ref().filter(|_| (rr, rc) != (r, c)) else { continue };
            match differences(own, units[rr][rc].as_ref(), graph, &collections) {
                Ok(strata) => {
                    let numbers = cells[r][c].number().zip(cells[rr][rc].number());
                    let shown = numbers.map_or(f64::NAN, |(own, reference)| own - reference);
                    own.iter().chain(units[rr][rc].iter().flatten()).for_each(|u| seeds.add(u));
                    seeds.add_evaluations(at(&table.values, r, c));
                    comparisons.push(Comparison { row: r, column: c, strata, shown });
                }
                Err(why) => reasons.add(format!("not tested: {why}"), name(table, r, c)),
            }
        }
    }

    let (family, sizes) = test_all(spec, table, &comparisons, cells, reasons)?;
    let Some(units) = sizes else { return Err("no cell can be compared with it".to_owned().into()) };
    let of_means = comparisons.iter().any(|c| c.strata.strata().len() > 1);
    let outcome = TestOutcome::Evaluated { family, units, collections: collections.len() };
    let legend = legend(spec, &printed_reference(spec, table), &outcome, of_means);
    let mut remarks = reasons.lines();
    remarks.extend(seeds.remark(graph));
    Ok(TableTest { outcome, legend, remarks })
}

/// The printed labels of a cell.
fn name(table: &Table, r: usize, c: usize) -> String {
    format!("{}, {}", table.printed.0[r], table.printed.1[c])
}

/// Tests comparisons and enters the results; returns how many were tested, and the fewest and the most of their units.
fn test_all(
    spec: &TestSpec,
    table: &Table,
    comparisons: &[Comparison],
    cells: &mut [Vec<FilledCell>],
    reasons: &mut Reasons,
) -> Result<(usize, Option<(usize, usize)>), NotTested> {
    let tested: Vec<Option<(Tested, Differences)>> =
        comparisons.par_iter().map(|c| test(spec, &c.strata)).collect();
    let ps: Vec<Option<f64>> = tested.iter().map(|t| t.map(|(t, _)| t.p)).collect();
    let adjusted = correction(spec.correct).adjust(&ps);
    let (mut family, mut sizes) = (0, None::<(usize, usize)>);
    for ((comparison, tested), p_adjusted) in comparisons.iter().zip(&tested).zip(adjusted) {
        let (r, c) = (comparison.row, comparison.column);
        let (Some((tested, differences)), Some(p_adjusted)) = (tested, p_adjusted) else {
            let fewest = comparison.strata.strata().iter().map(|s| s.differences.len()).min().unwrap_or(0);
            let queries = if fewest == 1 { "query" } else { "queries" };
            let why = format!(
                "not tested: a collection has {fewest} {queries} to compare on, or a value is not a number"
            );
            reasons.add(why, name(table, r, c));
            continue;
        };
        if !same(differences.mean, comparison.shown) {
            return Err(NotTested::Bug(Failure::bug(format!(
                "table `{}`, cell {}, {}: the difference tested is {}, that of the numbers shown {}",
                table.name, table.rows.1[r], table.columns.1[c], differences.mean, comparison.shown
            ))));
        }
        family += 1;
        let n = differences.n;
        sizes = Some(sizes.map_or((n, n), |(from, to)| (from.min(n), to.max(n))));
        cells[r][c].test = Some(cell_test(*tested, *differences, p_adjusted, spec.alpha));
    }
    Ok((family, sizes))
}

fn cell_test(tested: Tested, differences: Differences, p_adjusted: f64, alpha: f64) -> CellTest {
    CellTest {
        n: differences.n,
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
        significant: p_adjusted <= alpha,
    }
}

/// The units of a cell, whose mean must be its number.
fn units_of(
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

/// The place of a cell's reference: in its row when the label is a column, in its column when it is a row.
pub(super) fn reference(
    spec: &TestSpec,
    table: &Table,
) -> Result<impl Fn(usize, usize) -> (usize, usize) + use<>, String> {
    let (axis, label) = &spec.against;
    let find = |labels: &[Name]| {
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

fn correction(method: CorrectionMethod) -> Correction {
    match method {
        CorrectionMethod::None => Correction::None,
        CorrectionMethod::Bonferroni => Correction::Bonferroni,
        CorrectionMethod::Holm => Correction::Holm,
        CorrectionMethod::BenjaminiHochberg => Correction::BenjaminiHochberg,
    }
}

fn test(spec: &TestSpec, strata: &Strata) -> Option<(Tested, Differences)> {
    let described = Differences::of(strata, 1.0 - spec.alpha)?;
    // One stream for all cells: a p-value does not depend on where in the table it stands, or what it is called.
    let stream = Stream::new(spec.seed, &[spec.kind.word()]);
    let tested = match spec.kind {
        TestKind::PairedT => tests::paired_t(strata),
        TestKind::Randomisation => tests::randomisation(strata, spec.draws, stream),
        TestKind::Bootstrap => tests::bootstrap(strata, spec.draws, stream),
    };
    Some((tested?, described))
}

/// The printed name of the reference.
fn printed_reference(spec: &TestSpec, table: &Table) -> Name {
    let (axis, label) = &spec.against;
    let (labels, printed) = if *axis == table.rows.0 {
        (&table.rows.1, &table.printed.0)
    } else {
        (&table.columns.1, &table.printed.1)
    };
    let at = labels.iter().position(|l| l == label);
    at.and_then(|i| printed.get(i)).unwrap_or(label).clone()
}
