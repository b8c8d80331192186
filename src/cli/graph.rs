//! `xpipe graph`: the graph as a drawing in text.

use super::args::{Common, Drawing, GraphArgs};
use super::out::{self, Stop};
use super::study;
use crate::graph::draw;

pub(super) fn graph(args: &GraphArgs, common: &Common) -> Result<u8, Stop> {
    let loaded = study::sound(&args.study, common)?;
    let (text, format) = match args.format {
        Drawing::Mermaid => (draw::mermaid(&loaded.graph, args.cells), "mermaid"),
        Drawing::Dot => (draw::dot(&loaded.graph, args.cells), "dot"),
    };
    if common.json {
        out::json(&serde_json::json!({ "format": format, "text": text }));
    } else {
        out::say(&text);
    }
    Ok(0)
}
