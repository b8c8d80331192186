//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Studies of re-ranking models in one file.
#[derive(Debug, Parser)]
#[command(name = "xpipe", version, about, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
    /// What every verb takes.
    #[command(flatten)]
    pub common: Common,
}

/// What every verb takes.
#[derive(Clone, Debug, Default, Args)]
pub struct Common {
    /// Print one JSON value instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// The cache; by default XPIPE_CACHE, else `cache/` of the checkout, else the user's cache folder.
    #[arg(long, global = true, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// A folder of models: DIR/NAME or DIR/OWNER/NAME (also XPIPE_MODELS).
    #[arg(long, global = true, value_name = "DIR")]
    pub models: Vec<PathBuf>,
    /// Threads to use; all of the machine by default.
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// Memory that stages may use together, for instance 16GiB; all that this machine lets a process have by default.
    #[arg(long, global = true, value_name = "BYTES", value_parser = xpipe_lang::graph::bytes)]
    pub memory: Option<u64>,
    /// Forbid changes of the lock file.
    #[arg(long, global = true)]
    pub locked: bool,
    /// `always` reads inputs again instead of trusting their size and times.
    #[arg(long, global = true, value_enum, default_value_t = Verify::Changed)]
    pub verify: Verify,
}

/// When inputs and blobs are read to verify their content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Verify {
    /// When size or times changed.
    #[default]
    Changed,
    /// Always.
    Always,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a study: what is cached is used, the rest is computed; ends with the tables.
    Run(RunArgs),
    /// Download what a study reads, and unpack it, without running anything.
    Fetch(FetchArgs),
    /// Say what `run` would do.
    Plan(StudyArgs),
    /// Check a study without running it.
    Check(CheckArgs),
    /// Say why a cell will run, or why it is cached.
    Why(WhyArgs),
    /// Print tables and claims from what is cached, without running.
    Show(StudyArgs),
    /// Write the page of a study (HTML) from what is cached, without running.
    Report(ReportArgs),
    /// Draw the graph.
    Graph(GraphArgs),
    /// Look at the cache.
    Cache(CacheArgs),
    /// Write a result as files other tools read (TREC run, qrels, CSV, model folder).
    Export(ExportArgs),
    /// Explain a diagnostic code, or list all.
    Explain(ExplainArgs),
    /// Write studies in the one way they are written; lines and comments stay.
    Fmt(FmtArgs),
    /// Describe an operation, objective, type, data set or diagnostic, or list all.
    Describe(DescribeArgs),
    /// Write a small study to start from.
    Init(InitArgs),
    /// Look over this machine: what it has, and what stands in the way of a run.
    Doctor(DoctorArgs),
    /// Say what two studies compute differently, cell by cell.
    Diff(DiffArgs),
    /// Carry out one action; used by `run` itself.
    #[command(hide = true)]
    Worker,
    /// Watch over one program; used by `run` itself.
    #[command(hide = true, name = xpipe_engine::process::GUARD)]
    Guard,
}

/// A study and what is changed in it.
#[derive(Clone, Debug, Args)]
pub struct StudyArgs {
    /// The study.
    pub file: PathBuf,
    /// Set a param: `--set 'steps=steps(1_000)'`.
    #[arg(long, value_name = "PARAM=VALUE")]
    pub set: Vec<String>,
    /// Use a profile of the study.
    #[arg(long)]
    pub profile: Option<String>,
    /// Keep only these labels of an axis.
    #[arg(long, value_name = "AXIS=LABEL,…")]
    pub only: Vec<String>,
    /// Only this stage or cell: `model` or `model[infonce, bert_base, 1]`.
    #[arg(long, value_name = "STAGE[LABEL, …]")]
    pub target: Vec<String>,
    /// The most cells that the study may have (1,000,000).
    #[arg(long, value_name = "N")]
    pub max_cells: Option<u64>,
}

/// Where downloads may come from.
#[derive(Clone, Debug, Default, Args)]
pub struct NetworkArgs {
    /// Ask nothing of the network: what is missing is an error.
    #[arg(long)]
    pub offline: bool,
    /// A folder of files by address, DIR/HOST/PATH, to take downloads from first (also XPIPE_MIRROR).
    #[arg(long, value_name = "DIR")]
    pub mirror: Vec<PathBuf>,
}

/// Arguments of `fetch`.
#[derive(Clone, Debug, Args)]
pub struct FetchArgs {
    /// The study.
    #[command(flatten)]
    pub study: StudyArgs,
    /// Where downloads may come from.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Print the addresses of what is missing, one a line, and download nothing.
    #[arg(long)]
    pub list: bool,
    /// Lines instead of bars.
    #[arg(long)]
    pub plain: bool,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The study.
    #[command(flatten)]
    pub study: StudyArgs,
    /// Where downloads may come from.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Stop at the first failure instead of going on with what is independent.
    #[arg(long)]
    pub fail_fast: bool,
    /// Run these again although they are cached.
    #[arg(long, value_name = "STAGE[LABEL, …]")]
    pub force: Vec<String>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceArg::Auto)]
    pub device: DeviceArg,
    /// The kernel level; equal bits are promised for one level. `reference` computes with plain tensor operations, to
    /// compare with.
    #[arg(long, value_parser = ["auto", "reference", "portable", "avx2", "avx512", "avx512_bf16"], default_value = "auto")]
    pub kernels: String,
    /// Where tables and the page go; `results/NAME` beside the study by default.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Write a trace in Chrome's format.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Lines instead of bars.
    #[arg(long)]
    pub plain: bool,
}

/// Where to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceArg {
    /// A GPU where a stage asks for one and there is one.
    Auto,
    /// The CPU.
    Cpu,
    /// GPUs only.
    Cuda,
}

/// Arguments of `check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// The studies.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Set a param.
    #[arg(long, value_name = "PARAM=VALUE")]
    pub set: Vec<String>,
    /// The most cells that a study may have (1,000,000).
    #[arg(long, value_name = "N")]
    pub max_cells: Option<u64>,
    /// How diagnostics are printed.
    #[arg(long, value_enum, default_value_t = Format::Full)]
    pub format: Format,
    /// Also look at what the studies read: files, models (configuration, weights, tokenizer, head) and programs, as a run
    /// does before its first stage. Nothing is fetched; exit code 4 when a stage would fail.
    #[arg(long)]
    pub data: bool,
}

/// How diagnostics are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// With the text they are about.
    Full,
    /// One line each.
    Short,
}

/// Arguments of `why`.
#[derive(Clone, Debug, Args)]
pub struct WhyArgs {
    /// The study.
    #[command(flatten)]
    pub study: StudyArgs,
    /// The cells: `model[infonce, bert_base, 1]`, or a stage.
    #[arg(required = true)]
    pub cells: Vec<String>,
}

/// Arguments of `report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// The study.
    #[command(flatten)]
    pub study: StudyArgs,
    /// Where the page goes; `results/NAME` beside the study by default.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// Arguments of `graph`.
#[derive(Clone, Debug, Args)]
pub struct GraphArgs {
    /// The study.
    #[command(flatten)]
    pub study: StudyArgs,
    /// The language of the drawing.
    #[arg(long, value_enum, default_value_t = Drawing::Mermaid)]
    pub format: Drawing,
    /// One node a cell instead of one a stage.
    #[arg(long)]
    pub cells: bool,
}

/// Languages of drawings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Drawing {
    /// Mermaid.
    Mermaid,
    /// Graphviz.
    Dot,
    /// A drawing that browsers show.
    Svg,
}

/// Arguments of `cache`.
#[derive(Clone, Debug, Args)]
pub struct CacheArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: CacheVerb,
}

/// What can be done with the cache.
#[derive(Clone, Debug, Subcommand)]
pub enum CacheVerb {
    /// List results.
    Ls,
    /// Sizes by operation.
    Du,
    /// Read everything again and compare with its digest.
    Verify {
        /// Set damaged blobs aside, so that what made them runs again.
        #[arg(long)]
        set_aside: bool,
    },
}

/// Arguments of `export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// The study.
    #[command(flatten)]
    pub study: StudyArgs,
    /// The cell (`reranked[infonce, 1]`, `reranked[seed = 1]`), a stage, or a part of a data set (`cranfield.qrels`).
    pub cell: String,
    /// The file to write; a folder for several cells.
    pub to: PathBuf,
}

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The code, for instance `types::free_axis`; all codes without it.
    pub code: Option<String>,
}

/// Arguments of `fmt`.
#[derive(Clone, Debug, Args)]
pub struct FmtArgs {
    /// The studies; `-` formats standard input to standard output.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Write nothing: name the files that would change, and exit with 1 if there are any.
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `describe`.
#[derive(Clone, Debug, Args)]
pub struct DescribeArgs {
    /// A name, or the end of one: `train.cross_encoder`, `infonce`, `Run`, `std.trec.dl19`; all without it.
    pub name: Option<String>,
    /// Print Markdown: of everything, the whole reference as one page.
    #[arg(long)]
    pub markdown: bool,
}

/// Arguments of `init`.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// The file to write; one that is there stays.
    #[arg(default_value = "study.xpipe")]
    pub file: PathBuf,
}

/// Arguments of `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Also see whether the model hub answers.
    #[arg(long)]
    pub network: bool,
}

/// Arguments of `diff`.
#[derive(Clone, Debug, Args)]
pub struct DiffArgs {
    /// The study before.
    pub old: PathBuf,
    /// The study after.
    pub new: PathBuf,
    /// Set a param of both.
    #[arg(long, value_name = "PARAM=VALUE")]
    pub set: Vec<String>,
    /// Use a profile of both.
    #[arg(long)]
    pub profile: Option<String>,
}
