//! Tables: expressions over results in rows and columns, at every point of their axes.

use std::rc::Rc;

use super::env::{Env, Eval, Stop};
use super::expander::Expander;
use super::fields::value_of;
use super::model::{Graph, Published, Table};
use super::no_cells::CellCount;
use super::table_layout::Layout;
use super::titles::{only_member, text_of};
use crate::resolve::{AxisId, ModuleId};
use crate::syntax::ast::{Expr, ExprKind, Field, ForClause, Ident};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Name, Record, Value};

/// Values by row and column; `None` where a cell was cut away.
type Grid = Vec<Vec<Option<Value>>>;

/// A table whose fields have been read.
struct TableItem<'a> {
    name: &'a Ident,
    span: Span,
    axes: Rc<[AxisId]>,
    rows: AxisId,
    columns: Option<AxisId>,
    title: Option<&'a Expr>,
    value: &'a Expr,
    spread: Option<&'a Expr>,
    /// Published numbers with their tolerance.
    published: Option<(&'a Expr, f64)>,
    /// Display names of labels.
    names: Record,
    layout: Layout,
}

impl<'a> Expander<'a> {
    pub(super) fn table(
        &mut self,
        name: &'a Ident,
        sweep: Option<&'a ForClause>,
        fields: &'a [Field],
        span: Span,
        graph: &mut Graph,
    ) {
        if !self.known_fields("table", fields) {
            return;
        }
        let Some(axes) = self.sweep_axes(sweep, ModuleId(0)) else { return };
        let Ok(item) = self.table_item(name, axes.clone(), fields, span) else { return };
        self.each_output(("table", name), sweep, &axes, &mut |e, point, env, count| {
            if let Ok(table) = e.table_at(&item, point, env, count) {
                graph.tables.push(table);
            }
        });
    }

    /// Reads the fields of a table.
    fn table_item(
        &mut self,
        name: &'a Ident,
        axes: Rc<[AxisId]>,
        fields: &'a [Field],
        span: Span,
    ) -> Eval<TableItem<'a>> {
        let Some(value) = value_of(fields, "value") else {
            return Err(self.missing("value", "table", name.span));
        };
        // `rows` alone is enough for a table of one column.
        let Some(rows) = self.side(fields, "rows")? else {
            return Err(self.missing("rows", "table", name.span));
        };
        let columns = self.side(fields, "columns")?;
        let sides: Vec<AxisId> = [Some(rows), columns].into_iter().flatten().collect();
        let layout = self.layout(fields, &sides)?;
        let all: Vec<AxisId> = axes.iter().copied().chain(sides.iter().copied()).collect();
        if !self.countable("table", name, &all) {
            return Err(Stop::Reported);
        }
        Ok(TableItem {
            name,
            span,
            axes,
            rows,
            columns,
            title: value_of(fields, "title"),
            value,
            spread: value_of(fields, "spread"),
            published: self.published(fields)?,
            names: self.printed_names(fields, &sides)?,
            layout,
        })
    }

    /// The axis of the rows or columns.
    fn side(&mut self, fields: &'a [Field], which: &str) -> Eval<Option<AxisId>> {
        let Some(expr) = value_of(fields, which) else { return Ok(None) };
        match &expr.kind {
            ExprKind::Path(p) if p.len() == 1 => self.axis_named(&p[0], ModuleId(0)).map(Some),
            ExprKind::Error => Err(Stop::Reported),
            _ => Err(self.error(side_is_no_axis(which, expr.span))),
        }
    }

    /// A table at one point of its axes.
    fn table_at(
        &mut self,
        item: &TableItem<'a>,
        point: &[usize],
        env: &Env<'a>,
        count: &mut CellCount,
    ) -> Eval<Table> {
        let title = match item.title.map(|t| self.eval(t, None, env)) {
            Some(Ok(v)) => text_of(v),
            _ => Value::Str(item.name.name.clone()),
        };
        let row_labels = self.kept_labels(item.rows);
        let column_labels = item.columns.map_or_else(|| vec![0], |c| self.kept_labels(c));
        let labels = (&*row_labels, &*column_labels);
        let values = self.grid(item, item.value, labels, env, Some(count))?;
        let spread = match item.spread {
            Some(spread) => Some(self.grid(item, spread, labels, env, None)?),
            None => None,
        };
        let published = match item.published {
            Some((expr, within)) => {
                Some(Published { values: self.grid(item, expr, labels, env, None)?, within })
            }
            None => None,
        };
        let layout = &item.layout;
        Ok(Table {
            name: item.name.name.to_string(),
            span: item.span,
            labels: self.labels_at(&item.axes, point),
            title,
            rows: self.side_labels(Some(item.rows), &row_labels),
            columns: self.side_labels(item.columns, &column_labels),
            printed: (
                self.side_names(Some(item.rows), &row_labels, &item.names),
                self.side_names(item.columns, &column_labels, &item.names),
            ),
            measure: only_member(values.iter().flatten().flatten()).unwrap_or_default(),
            values,
            spread,
            published,
            best_per: layout.best_per,
            smallest: layout.smallest,
            test: layout.test.clone(),
            digits: layout.digits,
            write: layout.write.clone(),
        })
    }

    /// An expression at every row and column; `count` counts the cells.
    fn grid(
        &mut self,
        item: &TableItem<'a>,
        expr: &'a Expr,
        (rows, columns): (&[usize], &[usize]),
        env: &Env<'a>,
        mut count: Option<&mut CellCount>,
    ) -> Eval<Grid> {
        let mut grid = Vec::with_capacity(rows.len());
        for r in rows {
            let mut line = Vec::with_capacity(columns.len());
            for c in columns {
                let mut here = env.bind(item.rows, *r);
                if let Some(axis) = item.columns {
                    here = here.bind(axis, *c);
                }
                let value = self
                    .eval(expr, None, &here)
                    .and_then(|v| self.conform(v, &Type::Float, expr.span, "a value of a table"));
                if let Some(count) = &mut count {
                    count.add(&value);
                }
                line.push(match value {
                    Ok(v) => Some(v),
                    Err(Stop::Cut(_)) => None,
                    Err(Stop::Reported) => return Err(Stop::Reported),
                });
            }
            grid.push(line);
        }
        Ok(grid)
    }

    /// Name and labels of the axis of rows or columns; a table without columns has one, `value`.
    fn side_labels(&self, axis: Option<AxisId>, labels: &[usize]) -> (Name, Vec<Name>) {
        match axis {
            Some(axis) => {
                (self.axis_name(axis), labels.iter().filter_map(|i| self.axis_label(axis, *i)).collect())
            }
            None => (Name::from(""), vec![Name::from("value")]),
        }
    }

    /// Display names of the labels of rows or columns.
    fn side_names(&self, axis: Option<AxisId>, labels: &[usize], names: &Record) -> Vec<Name> {
        match axis {
            Some(axis) => labels.iter().filter_map(|i| self.printed_name(axis, *i, names)).collect(),
            None => vec![Name::from("value")],
        }
    }

    /// The published numbers of a table and their tolerance: both or neither.
    fn published(&mut self, fields: &'a [Field]) -> Eval<Option<(&'a Expr, f64)>> {
        let (published, within) = match (value_of(fields, "published"), value_of(fields, "within")) {
            (None, None) => return Ok(None),
            (Some(published), Some(within)) => (published, within),
            (Some(given), None) => {
                let message = "published numbers need `within`";
                return Err(self.error(needs_the_other(message, given.span, "within = 0.01")));
            }
            (None, Some(given)) => {
                let message = "`within` is a distance to published numbers";
                return Err(self.error(needs_the_other(message, given.span, "published = …")));
            }
        };
        let env = Env::at_point(ModuleId(0), &[], &[]);
        let value = self.eval(within, Some(&Type::Float), &env)?;
        let value = self.conform(value, &Type::Float, within.span, "`within`")?;
        match value.as_f64().filter(|x| *x > 0.0) {
            Some(x) => Ok(Some((published, x))),
            None => Err(self.error(no_tolerance(within.span))),
        }
    }
}

fn side_is_no_axis(which: &str, span: Span) -> Diagnostic {
    let message = format!("`{which}` must be an axis");
    Diagnostic::error(Code::NotAnAxis, message, span, "not the name of an axis")
        .help(format!("write `{which} = axis`"))
}

/// One of two fields that only mean something together.
fn needs_the_other(message: &str, span: Span, other: &str) -> Diagnostic {
    Diagnostic::error(Code::MissingArgument, message, span, "given alone").help(format!("add `{other}`"))
}

fn no_tolerance(span: Span) -> Diagnostic {
    Diagnostic::error(Code::OutOfRange, "`within` is not above 0", span, "no tolerance")
        .help("write how far a number may be from the published one, for instance `0.01`")
}
