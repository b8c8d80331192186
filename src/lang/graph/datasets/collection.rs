//! Test collections: documents, queries and judgements that belong together, with one role.

use super::super::env::{Env, Eval, Stop};
use super::super::expander::Expander;
use super::super::special::Form;
use super::fields::Fields;
use super::{Declared, ROW, UNJUDGED};
use crate::resolve::ModuleId;
use crate::syntax::ast::Ident;
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{ActionId, Record, Value};

impl Expander<'_> {
    /// A collection of parts that are declared or made elsewhere.
    pub(super) fn parts_together(&mut self, declared: Declared<'_>, form: &Form, fields: &Fields) -> Eval {
        let mut parts = Vec::new();
        for (part, wanted) in [("corpus", Type::Corpus), ("queries", Type::Queries), ("qrels", Type::Qrels)] {
            let Some((v, span)) = fields.given(part) else {
                return Err(self.missing(part, form.name, declared.span));
            };
            parts.push(self.conform(v, &wanted, span, &format!("`{part}`"))?);
        }
        parts[1] = self.queries_of(declared, &parts[1], &parts[2], fields)?;
        self.collection(declared.label, &parts, fields.role().as_deref(), declared.span)
    }

    /// The arguments of the import that made a value, when one of this type did.
    fn import_of(&self, value: &Value, ty: &Type) -> Option<Record> {
        let Value::Artifact(id) = value else { return None };
        let action = self.actions.get(*id);
        let import = self.registry.importer(ty)?;
        (action.op == import.name).then(|| action.args.clone())
    }

    /// The queries of a collection that is put together: of an import those that have judgements. What a stage made is
    /// taken as it is.
    fn queries_of(
        &mut self,
        declared: Declared<'_>,
        queries: &Value,
        qrels: &Value,
        fields: &Fields,
    ) -> Eval {
        let of_queries = self.import_of(queries, &Type::Queries);
        let Some((of_queries, of_qrels)) = of_queries.zip(self.import_of(qrels, &Type::Qrels)) else {
            if let Some((name, at)) =
                [UNJUDGED, "own"].into_iter().find_map(|name| Some((name, fields.given(name)?.1)))
            {
                return Err(self.error(made_by_a_stage(name, at)));
            }
            return Ok(queries.clone());
        };
        let changed = ["judged_by", "judged_format", "own"];
        let mut given: Vec<(&str, Value)> = of_queries
            .iter()
            .filter(|(n, _)| !changed.contains(&&**n))
            .map(|(n, v)| (&**n, v.clone()))
            .collect();
        if !fields.keeps_unjudged() {
            for (name, of) in [("judged_by", "source"), ("judged_format", "format")] {
                given.push((name, of_qrels.get(of).cloned().unwrap_or_default()));
            }
        }
        let own = fields.given("own").map(|(v, _)| v);
        given.push(("own", own.or_else(|| of_queries.get("own").cloned()).unwrap_or_default()));
        let import = self.registry.importer(&Type::Queries).map_or("", |op| op.name);
        let id = self.make(import, &given, declared.span, &format!("{}.queries", declared.label))?;
        let env = Env::at_point(ModuleId(0), &[], &[]);
        self.list(ROW, &[], &env, id);
        Ok(Value::Artifact(id))
    }

    /// The record of a collection. `role` is the one written in the study; a collection without one is a test.
    pub(super) fn collection(
        &mut self,
        label: &str,
        parts: &[Value],
        declared: Option<&str>,
        span: Span,
    ) -> Eval {
        let role = declared.unwrap_or("test");
        if let Some(Value::Artifact(qrels)) = parts.get(2) {
            match self.roles.get(qrels).cloned() {
                Some((first, other, at)) if other != role => {
                    return Err(self.error(two_roles([label, &first], [role, &other], span, at)));
                }
                Some(_) => {}
                None => {
                    self.roles.insert(*qrels, (label.to_owned(), role.to_owned(), span));
                }
            }
        }
        let [corpus, queries, qrels] = parts else { return Err(Stop::Reported) };
        self.seal.holds(queries, label, declared);
        self.seal.holds(qrels, label, declared);
        Ok(Value::Record(Record::of([
            ("corpus", corpus.clone()),
            ("queries", queries.clone()),
            ("qrels", qrels.clone()),
            ("role", Value::str(role)),
            ("name", Value::str(label)),
        ])))
    }

    /// `docs.corpus`, `docs.qrels_train` of a collection that an operation gives.
    pub(in super::super) fn collection_part(&mut self, id: ActionId, name: &Ident) -> Eval {
        let part = match name.name.split_once('_') {
            Some(("qrels", split)) => format!("qrels.{split}"),
            _ => name.name.to_string(),
        };
        let action = self.actions.get(id);
        let taken_by = self.registry.get(action.op).and_then(|op| op.parts);
        let Some(op) = taken_by.filter(|_| Type::of_collection_part(&part).is_some()) else {
            return Err(self.no_member(name, "a collection", &["corpus", "queries", "qrels", "qrels_SPLIT"]));
        };
        let address = format!("{}.{}", action.address, name.name);
        let given = [("of", Value::Artifact(id)), ("part", Value::str(&part))];
        let made = self.make(op, &given, name.span, &address)?;
        let env = Env::at_point(ModuleId(0), &[], &[]);
        self.list(ROW, &[], &env, made);
        Ok(Value::Artifact(made))
    }
}

/// A field of a collection that only imports read, over parts that a stage made.
fn made_by_a_stage(field: &str, at: Span) -> Diagnostic {
    let message = format!("`{field}` changes nothing here");
    Diagnostic::error(Code::UnknownArgument, message, at, "the queries or judgements are made by a stage")
        .help("leave it out: such queries are taken as they are")
}

/// One collection in two roles: this declaration, and the first.
fn two_roles([label, first]: [&str; 2], [role, other]: [&str; 2], span: Span, at: Span) -> Diagnostic {
    let message = format!("`{label}` and `{first}` are the same collection in two roles");
    Diagnostic::error(Code::RolesOverlap, message, span, format!("role {role}"))
        .related(at, format!("role {other}"))
        .help("a collection is for training, validation or testing, not for two of them")
}
