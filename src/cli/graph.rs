//! `xpipe graph`: the graph as a drawing in text.

use super::args::{Common, Drawing, GraphArgs};
use super::out::{self, Stop};
use super::study;
use xpipe_lang::graph::{self, Graph, draw};

/// The drawing, or why there is none.
fn svg(graph: &Graph, cells: bool) -> Result<String, Stop> {
    graph::svg(graph, cells).ok_or_else(|| {
        let help = if cells { "leave `--cells` out, or use `--format dot`" } else { "use `--format dot`" };
        Stop::missing("there are no boxes to draw, or too many", Some(help.into()))
    })
}

pub(super) fn graph(args: &GraphArgs, common: &Common) -> Result<u8, Stop> {
    let loaded = study::sound(&args.study, common)?;
    let (text, format) = match args.format {
        Drawing::Mermaid => (draw::mermaid(&loaded.graph, args.cells), "mermaid"),
        Drawing::Dot => (draw::dot(&loaded.graph, args.cells), "dot"),
        Drawing::Svg => (svg(&loaded.graph, args.cells)?, "svg"),
    };
    if common.json {
        out::json(&serde_json::json!({ "format": format, "text": text }));
    } else {
        out::say(&text);
    }
    Ok(0)
}
