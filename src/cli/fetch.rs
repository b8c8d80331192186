//! `xpipe fetch`: downloads everything that a study reads, and runs nothing.

use std::time::Instant;

use super::console::{Console, Mode};
use super::options::{Common, NetworkArgs, StudyArgs};
use super::out;
use super::signals::cancel_on_signal;
use xpipe_base::value::human;
use xpipe_engine::fetch::Origin;
use xpipe_study::session::{Error, FetchReport, FetchedFile, FetchedModel, Session};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    study: StudyArgs,
    #[command(flatten)]
    network: NetworkArgs,
    /// Print the addresses of missing files, one per line, and download nothing.
    #[arg(long)]
    list: bool,
    /// Print lines instead of progress bars.
    #[arg(long)]
    plain: bool,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let console = Console::new(Mode::of(common.json, args.plain));
    let mut session = Session::open(&args.study.request(), &common.settings(), console.listener())?;
    if args.list {
        let urls = session.absent_files()?;
        match common.json {
            true => out::json(&serde_json::json!(urls)),
            false => urls.iter().for_each(|url| out::line(url)),
        }
        return Ok(0);
    }
    let begun = Instant::now();
    let fetched = session.fetch(&args.network.network(), &|| console.view(), &cancel_on_signal())?;
    let error = fetched.error();
    let code = error.as_ref().map_or(0, Error::exit_code);
    if common.json {
        out::json(&json(&fetched, error));
        return Ok(code);
    }
    out::line(&summary(&fetched, &human::duration(begun.elapsed().as_secs_f64())));
    error.map_or(Ok(0), Err)
}

fn json(fetched: &FetchReport, error: Option<Error>) -> serde_json::Value {
    let files: Vec<_> = fetched.files.iter().map(file_json).collect();
    let models: Vec<_> = fetched.models.iter().map(model_json).collect();
    let mut all = serde_json::json!({ "files": files, "models": models, "cache": fetched.cache, "exit": 0 });
    if let Some(Error::Other { code, message, help }) = error {
        (all["error"], all["help"], all["exit"]) = (message.into(), help.into(), code.into());
    }
    all
}

fn file_json(file: &FetchedFile) -> serde_json::Value {
    let want = &file.file.want;
    let mut json = serde_json::json!({
        "url": want.url, "members": want.members, "for": file.file.readers, "pinned": file.pinned,
    });
    match &file.result {
        Ok(got) => {
            json["digest"] = got.digest.to_string().into();
            json["size"] = got.size.into();
            json["state"] = match &got.origin {
                Origin::Cache => "here",
                Origin::Mirror(_) => "mirror",
                Origin::Network => "fetched",
            }
            .into();
            json["path"] = file.path.as_ref().map(|p| p.display().to_string()).into();
        }
        Err(failure) => {
            json["state"] = "failed".into();
            json["message"] = failure.message.clone().into();
            json["help"] = failure.help.clone().into();
        }
    }
    json
}

fn model_json(model: &FetchedModel) -> serde_json::Value {
    match &model.result {
        Ok(path) => serde_json::json!({ "model": model.name, "path": path }),
        Err(f) => serde_json::json!({ "model": model.name, "message": f.message, "help": f.help }),
    }
}

/// What was downloaded, in a line.
fn summary(fetched: &FetchReport, time: &str) -> String {
    let arrived = fetched.files.iter().filter(|f| !f.was_here()).filter_map(|f| f.result.as_ref().ok());
    let sizes: Vec<u64> = arrived.map(|got| got.size).collect();
    let here = fetched.files.iter().filter(|f| f.was_here()).count() as u64;
    let failed = fetched.files.iter().filter(|f| f.result.is_err()).count();
    let mut parts = Vec::new();
    if !sizes.is_empty() {
        let size = human::size(sizes.iter().sum());
        parts.push(format!("{} of {size} fetched", human::counted(sizes.len() as u64, "files")));
    }
    if here > 0 {
        parts.push(human::counted(here, "files were here already"));
    }
    if failed > 0 {
        parts.push(format!("{failed} missing"));
    }
    if !fetched.models.is_empty() {
        let n = fetched.models.len();
        parts.push(format!("{n} model{} looked for", if n == 1 { "" } else { "s" }));
    }
    match parts.is_empty() {
        true => format!("nothing to fetch, in {time}"),
        false => format!("{}, in {time}", parts.join(", ")),
    }
}
