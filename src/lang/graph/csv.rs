//! `csv(path, key = [axis, …])`: a table whose columns are grids over the key axes.

use std::path::Path;

use indexmap::IndexMap;

use super::env::{Env, Eval, Stop};
use super::expander::Expander;
use super::labels::same;
use super::memo::CsvTable;
use super::model::Cut;
use crate::resolve::AxisId;
use crate::syntax::ast::{Arg, Ident};
use crate::syntax::source::reading_help;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::human;
use xpipe_base::value::{Call, Name, Record, Value};

impl<'a> Expander<'a> {
    pub(super) fn csv(&mut self, args: &'a [Arg], span: Span, env: &Env<'a>) -> Eval {
        if let Some(i) = self.memo.csv_known.get(&span) {
            return Ok(csv_value(*i));
        }
        let [path, key] = self.take("csv", args, span)?;
        let text = self.text_arg(Some(path), env)?;
        let keys: Vec<AxisId> = self.over(key, env)?.into_iter().map(|(axis, _)| axis).collect();
        let file = self.file_path(&text, env);
        let content = match self.world.read(&file) {
            Ok(content) => content,
            Err(e) => return Err(self.error(unreadable(&file, &e, path.span))),
        };
        let table = self.parse_csv(&content, &keys, path.span)?;
        self.memo.csv.push(table);
        let i = self.memo.csv.len() - 1;
        self.memo.csv_known.insert(span, i);
        Ok(csv_value(i))
    }

    fn parse_csv(&mut self, content: &str, keys: &[AxisId], span: Span) -> Eval<CsvTable> {
        let names = self.axis_names(keys);
        parse(content, keys, &names).map_err(|wrong| self.error(wrong_table(&wrong, span)))
    }

    /// `published.DL19` at the labels bound here.
    pub(super) fn csv_column(&mut self, call: &Call, name: &'a Ident, env: &Env<'a>) -> Eval {
        let index = call.args.get("table").and_then(Value::as_int).unwrap_or(0) as usize;
        let Some(table) = self.memo.csv.get(index).cloned() else { return Err(Stop::Reported) };
        let Some(column) = table.columns.iter().position(|c| *c == name.name) else {
            let known: Vec<&str> = table.columns.iter().map(|c| &**c).collect();
            return Err(self.no_member(name, "this table", &known));
        };
        let point = self.point_of(&table.keys, env, name.span, &name.name)?;
        let key = self.labels_at(&table.keys, &point);
        // A table may spell numbers otherwise than the axis does.
        let same = |row: &&Vec<Name>| row.iter().zip(&key).all(|(a, b)| same(a, b));
        let row = table.rows.get(&key).or_else(|| table.rows.get(table.rows.keys().find(same)?));
        match row.and_then(|r| r[column]) {
            Some(x) => Ok(Value::Float(x)),
            // No published number for this cell: what compares with it is not evaluated.
            None => Err(Stop::Cut(Cut::Blank)),
        }
    }
}

fn csv_value(index: usize) -> Value {
    Value::call("csv", Record::of([("table", Value::Int(index as i64))]))
}

/// What is wrong with a line of a table.
struct Wrong {
    /// Index of the line.
    line: usize,
    what: String,
    help: &'static str,
}

/// Reads a table whose key axes have these names.
fn parse(content: &str, keys: &[AxisId], names: &[Name]) -> Result<CsvTable, Wrong> {
    let wrong = |line: usize, what: String, help: &'static str| Wrong { line, what, help };
    let mut records = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(content.as_bytes())
        .into_records()
        .filter(|r| !matches!(r, Ok(record) if record.len() == 1 && record[0].is_empty()));
    let header = match records.next() {
        Some(Ok(header)) => header,
        Some(Err(e)) => return Err(wrong(0, e.to_string(), "the first line names the columns")),
        None => return Err(wrong(0, "the table is empty".into(), "the first line names the columns")),
    };
    let key_column = |name: &Name| {
        header.iter().position(|h| h == &**name).ok_or_else(|| {
            wrong(0, format!("there is no column `{name}`"), "each key axis is a column of labels")
        })
    };
    let key_columns: Vec<usize> = names.iter().map(key_column).collect::<Result<_, Wrong>>()?;
    let value_columns: Vec<usize> = (0..header.len()).filter(|i| !key_columns.contains(i)).collect();
    let mut rows = IndexMap::new();
    for record in records {
        let fields = record.map_err(|e| wrong(0, e.to_string(), "separate fields by commas"))?;
        let n = fields.position().map_or(0, |p| p.line() as usize - 1);
        if fields.len() != header.len() {
            let what =
                format!("{} where the header has {}", human::counted(fields.len(), "fields"), header.len());
            return Err(wrong(n, what, "every line has as many fields as the first"));
        }
        let number = |i: &usize| match &fields[*i] {
            "" => Ok(None),
            text => match text.parse::<f64>() {
                Ok(x) if x.is_finite() => Ok(Some(x)),
                _ => {
                    let what = format!("`{text}` is not a number");
                    Err(wrong(n, what, "leave the field empty where there is no value"))
                }
            },
        };
        let key: Vec<Name> = key_columns.iter().map(|i| Name::from(&fields[*i])).collect();
        let values: Vec<Option<f64>> = value_columns.iter().map(number).collect::<Result<_, Wrong>>()?;
        if rows.insert(key, values).is_some() {
            return Err(wrong(n, "this key was there before".into(), "each key has one line"));
        }
    }
    let columns = value_columns.iter().map(|i| Name::from(&header[*i])).collect();
    Ok(CsvTable { keys: keys.to_vec(), columns, rows })
}

fn wrong_table(wrong: &Wrong, span: Span) -> Diagnostic {
    let message = format!("line {}: {}", wrong.line + 1, wrong.what);
    Diagnostic::error(Code::Table, message, span, "in this table").help(wrong.help)
}

fn unreadable(file: &Path, e: &std::io::Error, span: Span) -> Diagnostic {
    let message = format!("cannot read {}: {e}", file.display());
    Diagnostic::error(Code::MissingFile, message, span, "this table")
        .help(reading_help(e, "paths are relative to the file that writes them"))
}
