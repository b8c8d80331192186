//! `xpipe graph`: the graph of a study as a drawing.

use clap::ValueEnum;

use super::options::{Common, StudyArgs};
use super::out;
use xpipe_lang::graph::{self, Graph, draw};
use xpipe_study::session::{Error, Loaded};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    study: StudyArgs,
    /// The format of the drawing.
    #[arg(long, value_enum, default_value_t = Format::Mermaid)]
    format: Format,
    /// Draw a node for each cell instead of one for each stage.
    #[arg(long)]
    cells: bool,
}

/// Formats of drawings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Mermaid.
    Mermaid,
    /// Graphviz.
    Dot,
    /// An image that browsers show.
    Svg,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let loaded = Loaded::correct(&args.study.request(), &common.settings().model_folders())?;
    let (text, format) = match args.format {
        Format::Mermaid => (draw::mermaid(&loaded.graph, args.cells), "mermaid"),
        Format::Dot => (draw::dot(&loaded.graph, args.cells), "dot"),
        Format::Svg => (svg(&loaded.graph, args.cells)?, "svg"),
    };
    if common.json {
        out::json(&serde_json::json!({ "format": format, "text": text }));
    } else {
        out::say(&text);
    }
    Ok(0)
}

fn svg(graph: &Graph, cells: bool) -> Result<String, Error> {
    graph::svg(graph, cells).ok_or_else(|| {
        let help = if cells { "leave out `--cells`, or use `--format dot`" } else { "use `--format dot`" };
        Error::missing("the graph has no nodes to draw, or too many").help(help)
    })
}
