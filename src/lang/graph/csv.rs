//! `csv(path, key = [axis, …])`: a table whose columns are grids over the key axes.

use super::Cut;
use super::expand::{Env, Eval, Expander, Stop};
use crate::resolve::AxisId;
use crate::syntax::ast::{Arg, Ident};
use crate::syntax::source::reading_help;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Call, Name, Record, Value};

/// A table read from a CSV file: values by key labels.
#[derive(Clone, Debug)]
pub(super) struct CsvTable {
    pub keys: Vec<AxisId>,
    pub columns: Vec<Name>,
    pub rows: indexmap::IndexMap<Vec<Name>, Vec<Option<f64>>>,
}

impl<'a> Expander<'a> {
    pub(super) fn file_path(&self, text: &str, env: &Env<'a>) -> std::path::PathBuf {
        let base = if &*env.row == "--set" {
            self.overrides.folder.clone()
        } else {
            // Modules of std lie in no folder: what they name is beside the study.
            let folder = |module| self.study.module(module).folder.clone();
            folder(env.module).or_else(|| folder(crate::resolve::ModuleId(0))).unwrap_or_default()
        };
        crate::resolve::modules::normal(&base.join(text))
    }

    pub(super) fn csv(&mut self, args: &'a [Arg], span: Span, env: &Env<'a>) -> Eval {
        if let Some(i) = self.csv_known.get(&span) {
            return Ok(csv_value(*i));
        }
        let [path, key] = self.take("csv", args, &["path", "key"], span)?;
        let text = self.text_arg(Some(path), env)?;
        let mut keys = Vec::new();
        for (axis, _) in self.over(key, env)? {
            keys.push(axis);
        }
        let file = self.file_path(&text, env);
        let content = match self.world.read(&file) {
            Ok(c) => c,
            Err(e) => {
                let mut d = Diagnostic::error(
                    Code::MissingFile,
                    format!("cannot read {}: {e}", file.display()),
                    path.span,
                    "this table",
                );
                d.help = Some(reading_help(&e, "paths are relative to the file that writes them"));
                return Err(self.error(d));
            }
        };
        let table = self.parse_csv(&content, &keys, path.span)?;
        self.csv.push(table);
        let i = self.csv.len() - 1;
        self.csv_known.insert(span, i);
        Ok(csv_value(i))
    }

    fn parse_csv(&mut self, content: &str, keys: &[AxisId], span: Span) -> Eval<CsvTable> {
        let mut lines = content.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
        let wrong = |e: &mut Self, line: usize, what: String, help: &str| {
            e.error(
                Diagnostic::error(Code::Table, format!("line {}: {what}", line + 1), span, "in this table")
                    .help(help.to_owned()),
            )
        };
        let Some((_, header)) = lines.next() else {
            return Err(wrong(self, 0, "the table is empty".into(), "the first line names the columns"));
        };
        let header: Vec<&str> = header.split(',').map(str::trim).collect();
        let mut key_columns = Vec::new();
        for axis in keys {
            let name = self.study.axis(*axis).0.name.clone();
            match header.iter().position(|h| **h == *name) {
                Some(i) => key_columns.push(i),
                None => {
                    let what = format!("there is no column `{name}`");
                    return Err(wrong(self, 0, what, "each key axis is a column of labels"));
                }
            }
        }
        let value_columns: Vec<usize> = (0..header.len()).filter(|i| !key_columns.contains(i)).collect();
        let mut rows = indexmap::IndexMap::new();
        for (n, line) in lines {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            if fields.len() != header.len() {
                let what = format!("{} fields where the header has {}", fields.len(), header.len());
                return Err(wrong(self, n, what, "every line has as many fields as the first"));
            }
            let key: Vec<Name> = key_columns.iter().map(|i| Name::from(fields[*i])).collect();
            let mut values = Vec::new();
            for i in &value_columns {
                values.push(match fields[*i] {
                    "" => None,
                    text => match text.parse::<f64>() {
                        Ok(x) if x.is_finite() => Some(x),
                        _ => {
                            let what = format!("`{text}` is not a number");
                            return Err(wrong(
                                self,
                                n,
                                what,
                                "leave the field empty where there is no value",
                            ));
                        }
                    },
                });
            }
            if rows.insert(key, values).is_some() {
                return Err(wrong(self, n, "this key was there before".into(), "each key has one line"));
            }
        }
        let columns = value_columns.iter().map(|i| Name::from(header[*i])).collect();
        Ok(CsvTable { keys: keys.to_vec(), columns, rows })
    }

    /// `published.DL19` at the labels bound here.
    pub(super) fn csv_column(&mut self, call: &Call, name: &'a Ident, env: &Env<'a>) -> Eval {
        let index = call.args.get("table").and_then(Value::as_int).unwrap_or(0) as usize;
        let Some(table) = self.csv.get(index).cloned() else { return Err(Stop::Reported) };
        let Some(column) = table.columns.iter().position(|c| *c == name.name) else {
            let known: Vec<&str> = table.columns.iter().map(|c| &**c).collect();
            return Err(self.no_member(name, "this table", &known));
        };
        let point = self.point_of(&table.keys, env, name.span, &name.name)?;
        let key: Vec<Name> =
            table.keys.iter().zip(&point).filter_map(|(a, i)| self.axis_label(*a, *i)).collect();
        // A table may spell numbers otherwise than the axis does.
        let same = |row: &&Vec<Name>| row.iter().zip(&key).all(|(a, b)| super::labels::same(a, b));
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
