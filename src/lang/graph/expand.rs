//! The passes of an expansion, and the walk over the items of the study.

use super::bounds::on_a_large_stack;
use super::domain::artifact;
use super::env::Item;
use super::expander::Expander;
use super::model::Graph;
use super::overrides::Overrides;
use crate::resolve::{Declaration, Study, World};
use crate::syntax::ast::{self, ItemKind};
use crate::types::Registry;
use xpipe_base::diag::{Diagnostics, Span};

/// Expands a study. Problems go to the sink; what is sound is in the graph.
pub fn expand(
    study: &Study,
    registry: &Registry,
    world: &dyn World,
    overrides: &Overrides,
    sink: &mut Diagnostics,
) -> Graph {
    on_a_large_stack(|| Expander::new(study, registry, world, overrides, sink).expand())
}

impl<'a> Expander<'a> {
    fn expand(mut self) -> Graph {
        let advisory_claims = self.apply_overrides();
        self.static_names();
        self.all_axes();
        let mut graph = Graph { advisory_claims, ..Graph::default() };
        self.root(&mut graph);
        self.sealed_tests();
        self.reporter.flush_issues();
        self.other_profiles();
        self.unread_overrides();
        (graph.actions, graph.call_sites, graph.rows) = self.actions.finish();
        graph.artifacts = graph.actions.iter().map(|action| artifact(self.registry, action)).collect();
        graph.notes = self.reporter.notes;
        graph.choices = self.choices.into_values().collect();
        graph
    }

    fn root(&mut self, graph: &mut Graph) {
        let study = self.study;
        let Some(root) = study.modules.first() else { return };
        for item in &root.ast.items {
            let asked = matches!(
                item.kind,
                ItemKind::Study { .. }
                    | ItemKind::Stage(_)
                    | ItemKind::Table { .. }
                    | ItemKind::Claim { .. }
                    | ItemKind::Report { .. }
            );
            self.reach.asked = asked;
            match &item.kind {
                ItemKind::Study { fields, .. } => graph.study = self.study_fields(fields),
                ItemKind::Stage(_) | ItemKind::Let(_) | ItemKind::Dataset { .. } | ItemKind::Param { .. } => {
                    let name = match &item.kind {
                        ItemKind::Stage(s) => &s.name,
                        ItemKind::Let(l) => &l.name,
                        ItemKind::Dataset { name, .. } | ItemKind::Param { name, .. } => name,
                        _ => continue,
                    };
                    // A second declaration of a name was reported; the first counts.
                    match root.names.get(&name.name) {
                        Some((named, span)) if *span == name.span => self.root_item(*named, name.span, item),
                        _ => {}
                    }
                }
                ItemKind::Table { name, sweep, fields, .. } => {
                    self.table(name, sweep.as_ref(), fields, item.span, graph);
                }
                ItemKind::Claim { name, sweep, fields, .. } => {
                    self.claim(name, sweep.as_ref(), fields, item.span, graph);
                }
                ItemKind::Report { name, fields, .. } => {
                    self.report(name, fields, item.span, graph);
                }
                ItemKind::Edition { .. }
                | ItemKind::Requires { .. }
                | ItemKind::Use(_)
                | ItemKind::Axis { .. }
                | ItemKind::Def(_)
                | ItemKind::Profile { .. } => {}
            }
        }
    }

    fn root_item(&mut self, named: Declaration, span: Span, item: &'a ast::Item) {
        match named {
            Declaration::Stage(id) => {
                self.reads(Item::Stage(id));
                self.all_cells(id, span);
                let name = self.study.stage_name(id);
                self.actions.set_docs(&name, &item.docs);
            }
            Declaration::Dataset(id) => {
                let _ = self.dataset(id, span);
            }
            Declaration::Param(id) => {
                let _ = self.param(id, span);
            }
            Declaration::Let(id) => self.check_let(id, span),
            Declaration::Axis(_)
            | Declaration::Def(_)
            | Declaration::Module(_)
            | Declaration::Output(..)
            | Declaration::Broken => {}
        }
    }
}
