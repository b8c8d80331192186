//! Reports: which tables, claims and costs stand on a page.

use super::env::Env;
use super::expander::Expander;
use super::fields::value_of;
use super::model::{Graph, Report};
use super::names::{all_names, names_of};
use super::output_options::Section;
use crate::resolve::{Declaration, ModuleId};
use crate::syntax::ast::{Arg, Expr, ExprKind, Field, Ident};
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::Value;

const ROOT: ModuleId = ModuleId(0);

impl<'a> Expander<'a> {
    pub(super) fn report(&mut self, name: &'a Ident, fields: &'a [Field], span: Span, graph: &mut Graph) {
        if !self.known_fields("report", fields) {
            return;
        }
        let items: &'a [Expr] = match value_of(fields, "sections") {
            None => &[],
            Some(list) => match &list.kind {
                ExprKind::List(items) => items,
                _ => std::slice::from_ref(list),
            },
        };
        let sections = items.iter().filter_map(|item| self.section(item)).collect();
        let env = Env::at_point(ROOT, &[], &[]);
        let html = value_of(fields, "html").and_then(|e| {
            let path = self.text_arg(Some(e), &env).ok()?.to_string();
            if !stays_inside(&path) {
                self.error(page_elsewhere(&path, e.span));
            }
            Some(path)
        });
        let title = value_of(fields, "title").and_then(|e| match self.eval(e, None, &env).ok()? {
            text @ (Value::Str(_) | Value::Pending(_)) => Some(text),
            other => {
                let found = self.type_of(&other);
                self.mismatch("a text is needed here", e.span, &found);
                None
            }
        });
        graph.reports.push(Report { name: name.name.to_string(), span, title, sections, html });
    }

    /// A section: the name of a table or claim, or `costs` with names of stages.
    fn section(&mut self, item: &'a Expr) -> Option<Section> {
        match &item.kind {
            ExprKind::Path(p) if p.len() == 1 => match self.study.named(ROOT, &p[0].name) {
                Some(Declaration::Output(..)) => Some(Section::Output(p[0].name.to_string())),
                Some(Declaration::Broken) => None,
                _ => {
                    let outputs = names_of(self.study, ROOT, |n| matches!(n, Declaration::Output(..)));
                    self.unknown_name(&p[0], ROOT, outputs, "table or claim");
                    None
                }
            },
            ExprKind::Call { path, args, .. } if path.len() == 1 && &*path[0].name == "costs" => {
                Some(Section::Costs(args.iter().filter_map(|a| self.stage_of_section(a)).collect()))
            }
            ExprKind::Error => None,
            _ => {
                self.error(no_section(item.span));
                None
            }
        }
    }

    fn stage_of_section(&mut self, arg: &'a Arg) -> Option<String> {
        let ExprKind::Path(path) = &arg.value.kind else { return None };
        let ident = path.first()?;
        if !matches!(self.study.named(ROOT, &ident.name), Some(Declaration::Stage(_) | Declaration::Broken)) {
            self.unknown_name(ident, ROOT, all_names(self.study, ROOT), "stage");
        }
        Some(ident.name.to_string())
    }
}

/// Whether a path names a page below the folder that it starts from.
fn stays_inside(path: &str) -> bool {
    let normal = |part| matches!(part, std::path::Component::Normal(_));
    path.ends_with(".html") && std::path::Path::new(path).components().all(normal)
}

fn no_section(span: Span) -> Diagnostic {
    let message = "a section is a table, a claim or `costs(stage)`";
    Diagnostic::error(Code::Mismatch, message, span, "not a section")
        .help("name a table or claim of this file")
}

fn page_elsewhere(path: &str, span: Span) -> Diagnostic {
    let message = format!("`{path}` is no place for a page inside the folder of results");
    Diagnostic::error(Code::Mismatch, message, span, "the page would be written elsewhere")
        .help("write a relative path without `..` that ends in `.html`")
}
