//! `xpipe why`: what changed since the last run of a cell.

use super::options::{Common, StudyArgs};
use super::out;
use xpipe_base::diag::Span;
use xpipe_base::diag::render::Sources as _;
use xpipe_study::report::chosen::ChosenPoint;
use xpipe_study::session::{Error, Loaded, cells};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    study: StudyArgs,
    /// Cells, or stages: `model[infonce, bert_base, 1]`.
    #[arg(required = true)]
    cells: Vec<String>,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let session = args.study.open(common)?;
    let loaded = &session.loaded;
    let store = session.open_cache()?;
    let cached = session.cached(&store);
    let mut all = Vec::new();
    for id in cells(&loaded.graph, &args.cells)? {
        let (chosen, why) = (cached.chosen_for(id), cached.why(id));
        if common.json {
            all.push(serde_json::json!({
                "address": why.address, "outlook": why.outlook, "since": why.since, "reasons": why.reasons,
                "from": why.from, "failed": why.failed,
                "chosen": chosen.iter().map(ChosenPoint::json).collect::<Vec<_>>(),
            }));
            continue;
        }
        let site = loaded.graph.call_site(id);
        let place = |path: &str| {
            let inside = place_of(loaded, site.span, path);
            Some(match site.caller.filter(|caller| caller.file != site.span.file) {
                // The study's own line first: the other one is in a module that it uses.
                Some(caller) => format!("{} ({inside})", place_of(loaded, caller, path)),
                None => inside,
            })
        };
        out::line(why.render(&place).trim_end());
        for c in chosen {
            out::line(&format!("  chosen: {} = {}", c.address(), c.text()));
        }
    }
    if common.json {
        out::json(&serde_json::Value::Array(all));
    }
    Ok(0)
}

/// The line of an argument in a call: its own where it is written, else the call's.
fn place_of(loaded: &Loaded, span: Span, path: &str) -> String {
    let first = path.split(['.', '[']).next().unwrap_or(path);
    let text = loaded.sources.slice(span);
    let offset = text
        .match_indices(first)
        .find(|(i, _)| {
            let before = text[..*i].chars().next_back();
            let after = text[i + first.len()..].chars().next();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
                && !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
        .map_or(0, |(i, _)| i as u32);
    let at = loaded.sources.position(span.file, span.start + offset);
    let name = loaded.sources.name(span.file);
    let name = name.rsplit('/').next().unwrap_or(name);
    format!("{name}:{}", at.line)
}
